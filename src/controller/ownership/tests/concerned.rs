//! Which claims a change wakes.

use super::*;

#[test]
fn whoever_waits_for_what_changes_is_named() {
    let mut bench = Bench::of([group("old", FIRST, "a", |_| {})]);
    bench.work("old", Progress::Managed);
    let young = group("young", SECOND, "b", |_| {});
    assert!(bench.claims.apply(&young).is_empty(), "it takes nothing");
    let concerned = |names: &[&str]| -> BTreeSet<Name> {
        names.iter().map(|name| Name::new("shop", name)).collect()
    };
    assert_eq!(bench.reason("young"), "TargetContested");
    assert!(bench.claims.apply(&young).is_empty(), "nothing has changed");
    let moved = group("old", FIRST, "a", |group| {
        group["spec"]["scaleTargetRef"]["name"] = json!("other");
    });
    assert_eq!(bench.claims.apply(&moved), concerned(&["young"]));
    assert!(bench.claims.remove(&Name::new("shop", "old")).is_empty());
    assert!(bench.claims.remove(&Name::new("shop", "young")).is_empty());
}

/// Each claim that came or went once woke all claims on the same target. With 330 of them on a
/// target that does not exist, a user who created and deleted one more woke a thousand each time.
#[test]
fn a_claim_that_comes_and_goes_among_hundreds_concerns_none_of_them() {
    let crowd = |number: usize| {
        group(
            &format!("g{number}"),
            FIRST,
            &format!("{number:03}"),
            |_| {},
        )
    };
    let mut bench = Bench::of((0..330).map(crowd));
    for number in 0..330 {
        let reason = bench.work(&format!("g{number}"), Progress::Failing);
        assert_eq!(reason, "", "it has been tried");
    }
    let one = group("one", SECOND, "z", |_| {});
    for _ in 0..3 {
        assert_eq!(bench.claims.apply(&one), BTreeSet::new());
        assert_eq!(bench.reason("one"), "", "it is tried");
        assert!(bench.note("one", Progress::Failing).is_empty());
        assert_eq!(bench.claims.remove(&Name::of(&one)), BTreeSet::new());
    }
}

#[test]
fn another_namespace_is_notified_when_the_reported_one_is_gone() {
    let of = |namespace: &'static str, name, uid| {
        group(name, FIRST, uid, move |group| {
            sharing("app")(group);
            group["metadata"]["namespace"] = json!(namespace);
        })
    };
    let (mine, theirs) = (of("shop", "mine", "a"), of("vault", "theirs", "b"));
    let mut bench = Bench::of([mine.clone(), theirs.clone()]);
    let (my_name, their_name) = (Name::of(&mine), Name::of(&theirs));
    let managed = |bench: &mut Bench, name: &Name| {
        bench
            .claims
            .ask(name, bench.now, |_, _| Relation::Neighbours);
        bench.claims.note(name, Progress::Managed, bench.now);
    };
    managed(&mut bench, &my_name);
    assert!(
        bench.claims.remove(&their_name).is_empty(),
        "it was never managed, so that nobody was told of it"
    );
    bench.claims.apply(&theirs);
    managed(&mut bench, &their_name);
    let failing = bench.claims.note(&their_name, Progress::Failing, bench.now);
    assert_eq!(failing, BTreeSet::from([my_name.clone()]));
    managed(&mut bench, &their_name);
    assert_eq!(bench.claims.remove(&their_name), BTreeSet::from([my_name]));
}
