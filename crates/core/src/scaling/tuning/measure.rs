//! Parameters of what is measured: offsets, arrivals, progress, capacity.

use jiff::SignedDuration;

use crate::scaling::tuning::unit::{Factor, Parameter, Share, parameters};

const fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

parameters! {
    /// How often the group is polled, and for how long what was read is used.
    Polls {
        /// The default of `pollInterval`. What is counted in polls is counted in multiples of
        /// this.
        interval: SignedDuration = secs(15);
        /// What has not been read for longer is unknown: it counts for nothing, is shown as
        /// missing, and evidence from before it no longer counts (KNOW-15). Three polls may fail.
        /// The value is the model's; chosen, not measured.
        fresh: SignedDuration = secs(60);
        /// `LagKnown` turns False no sooner: the death of a coordinator takes 9 to 13 s, as
        /// measured on brokers (KNOW-16).
        lasting: SignedDuration = secs(20);
    }
}

parameters! {
    /// The offsets that are kept of each partition.
    Series {
        /// At 24 bytes a partition's history is 768 bytes (KEEP-26). Thinned to so many, the time
        /// of a past end offset stays known to within a sixth of its age
        /// (`thinning_keeps_the_delay`).
        points: usize = 32;
        /// Younger points are all kept: rates and capacity are taken over the last minute, and
        /// polls come a second late.
        dense: SignedDuration = secs(76);
        /// A rate over less says nothing: one poll interval, less what a poll comes early.
        rate_least: SignedDuration = secs(14);
        /// Polls come so much early or late. Chosen, not measured.
        slack: SignedDuration = secs(1);
        /// No delay is shown beyond this: older records are merely very late. Chosen, not measured.
        oldest: SignedDuration = secs(172_800);
        /// Four times of the broker are asked for, and each may be answered by two offsets (see
        /// `docs/kafka.md`, timestamps).
        earlier_points: usize = 10;
        /// Offsets are kept for twice `maxDelay` and no less than this: a backlog of ten minutes
        /// has to have an age under any objective.
        kept_least: SignedDuration = secs(600);
        /// Offsets are kept for so much longer, so that the minute before the oldest record has a
        /// rate.
        kept_besides: SignedDuration = secs(60);
    }
}

parameters! {
    /// The rates of arrival that are predicted with.
    Arrivals {
        /// Window of the latest rate: one poll.
        latest: SignedDuration = secs(15);
        /// Window of the steady rate. The model's catalogue was measured with it.
        steady: SignedDuration = secs(60);
        /// Weight of the latest rate against the steady one. The latest alone costs 6.4 % of J, the
        /// steady one alone 5.2 % (16 scenarios of the model).
        blend: Share = Share(0.35);
    }
}

parameters! {
    /// A load that jumps (decision 17).
    Surge {
        /// Off: the size follows the mean of the last minute, whatever the last polls show.
        enabled: bool = true;
        /// Polls that are compared, the last one among them: those of the last minute.
        polls: usize = 5;
        /// Each poll since shows more than so many times the most before it. With 1.5 J is 1.087
        /// on the catalogue and 1.182 on 600-659, with 2 it is 1.081 and 1.153.
        risen: Factor = Factor(2.0);
        /// By so many standard deviations: few records vary by chance. The usual three.
        chance: Factor = Factor(3.0);
        /// The first poll has seen only a part of the jump. At random, half of it is seen; what it
        /// shows beyond the mean counts so many times. Measured with decision 17 as a whole.
        first_poll: Factor = Factor(1.5);
    }
}

parameters! {
    /// Partitions that do not move.
    Progress {
        /// Off: a partition that does not move counts as load.
        enabled: bool = true;
        /// No commit for so long, with lag and an owner, is being stuck. Without the rule J is
        /// 3.2 % worse, and 1.65 times as high in `stuck` (16 scenarios of the model).
        stuck_after: SignedDuration = secs(60);
        /// Or for so many typical gaps between two commits. The model's; chosen, not measured.
        stuck_gaps: Factor = Factor(8.0);
        /// The same where the gap is not known yet, as after a restart: some groups commit every
        /// five minutes (decision 8).
        stuck_unknown: SignedDuration = secs(360);
        /// No gap counts for more: idle hours say nothing about how often a consumer commits
        /// (decision 8). Sinks to files commit every ten minutes.
        gap_most: SignedDuration = secs(600);
        /// Weight of the last gap in the typical one. Chosen, not measured.
        gap_weight: Share = Share(0.2);
        /// Commits are rare from here on: a poll in two sees none. Chosen, not measured.
        rare: SignedDuration = secs(24);
        /// A commit is late after so many typical gaps. Chosen, not measured.
        late_gaps: Factor = Factor(2.0);
        /// Consumers refresh their metadata every five minutes: for so long a new partition may
        /// belong to nobody (ACT-13).
        new_for: SignedDuration = secs(360);
        /// A partition that has not moved since the process began may have a record in hand that
        /// takes long. For so long nothing is scaled down for it. Chosen, not measured.
        in_hand_for: SignedDuration = secs(3600);
        /// A standstill that ends with no more records than this was work at them: more at once are
        /// what an outage held up, or a batch. Chosen, not measured.
        in_hand_records: usize = 10;
        /// The next standstill may be so many times as long. Chosen, not measured.
        longer: Factor = Factor(1.5);
        /// From here on a record takes long: shorter ones cannot be told from a gap between
        /// commits. Chosen, not measured.
        long: SignedDuration = secs(60);
        /// No record is taken to be longer than this. Chosen, not measured.
        longest: SignedDuration = secs(14_400);
        /// For so long it is remembered: once around the day. Chosen, not measured.
        longest_for: SignedDuration = secs(86_400);
    }
}

parameters! {
    /// Topics whose records wait on purpose.
    Delayed {
        /// Off: only `delayedTopicPattern` says which topics these are.
        enabled: bool = true;
        /// From this delay on a topic may be one. Chosen, not measured.
        from: SignedDuration = secs(60);
        /// The delay of a partition varies by no more: a backlog grows or falls. Chosen, not
        /// measured.
        level: SignedDuration = secs(20);
        /// For so long. Chosen, not measured.
        level_for: SignedDuration = secs(600);
        /// The delays of all its partitions differ by no more: twice what one may vary by.
        alike: SignedDuration = secs(40);
    }
}

parameters! {
    /// What a hand-over of partitions costs this group.
    Handover {
        /// Off: every group is taken to pay what its protocol costs anywhere.
        enabled: bool = true;
        /// Who loses a partition commits what it had in hand: for so long after an action a commit
        /// shows no progress. Chosen, not measured.
        commits_for: SignedDuration = secs(60);
        /// The first commit of a new owner is waited for no longer: sinks to files commit every
        /// ten minutes.
        waited_for: SignedDuration = secs(900);
        /// No more partitions are remembered, which bounds the memory (KEEP-26).
        partitions_most: usize = 512;
        /// A hand-over has taken as long as until this share of its partitions was committed for,
        /// in percent. A few partitions have nothing to commit. Chosen, not measured.
        percent: usize = 90;
        /// Seconds that are usual anywhere: a rebalance, a commit, two polls.
        usual: SignedDuration = secs(60);
        /// No hand-over is taken to last longer: it is waited for no longer either.
        most: SignedDuration = secs(900);
        /// Weight of the last hand-over in what is remembered. Chosen, not measured.
        weight: Share = Share(0.5);
    }
}

parameters! {
    /// Partitions that are loaded unevenly and not handed out by turns.
    Skew {
        /// Off: partitions are taken to be handed out by turns under every assignor but range.
        enabled: bool = true;
        /// A size that did not do because of it is not tried for so long. Chosen, not measured.
        remembered_for: SignedDuration = secs(3600);
    }
}

parameters! {
    /// Learning what one consumer can do.
    Capacity {
        /// Off: it is never measured at a backlog, only bracketed from below.
        enabled: bool = true;
        /// Polls of a sample: a minute. The model's.
        polls: usize = 4;
        /// Polls of the first sample: it is wanted soon.
        first_polls: usize = 2;
        /// So much work waiting at every poll is a backlog: nearly a poll interval of it, so that
        /// the consumer cannot have run dry in between. The model's.
        backlog: SignedDuration = secs(12);
        /// After retention has passed a commit nothing is learnt for so long: the commit jumps.
        /// Chosen, not measured.
        expired_for: SignedDuration = secs(120);
        /// A member is taken to own the same for so long after it was described: members are
        /// described every two minutes.
        described_for: SignedDuration = secs(150);
        /// Without a backlog a member shows what it can do at least once it has been steady for so
        /// long. The model's.
        steady_for: SignedDuration = secs(120);
        /// A sample is taken no more often than a minute's window has half changed.
        sample_every: SignedDuration = secs(30);
        /// Weight of a sample ...
        weight: Share = Share(0.25);
        /// ... and of the share of consumers that were saturated. Both are the model's.
        weight_by_share: Share = Share(0.5);
        /// So large a share of saturated consumers is taken at its word against what was possible
        /// once. The model's.
        representative: Share = Share(0.3);
        /// A sample is no longer taken for the present after so long: a faster consumer is noticed
        /// only by trying fewer (decision 8).
        old: SignedDuration = secs(21_600);
        /// Doing so many times what was measured, without a backlog, shows that it was measured too
        /// low (decision 8): more than the noise of pods, which is 4 % in the model.
        outdone: Factor = Factor(1.1);
        /// What was seen without a backlog keeps this share from poll to poll: half of it is gone
        /// after six hours. The model's.
        fade: Share = Share(0.9995);
    }
}

parameters! {
    /// Whose the members are, and rebalances that nobody asked for.
    Membership {
        /// Another number of foreign members counts after so long: pods that restart join once more
        /// before the member that they were is missed, which takes 45 s.
        counted_after: SignedDuration = secs(60);
        /// So many unexplained rebalances are a storm. Chosen, not measured.
        storm: usize = 4;
        /// Within this time. Chosen, not measured.
        storm_within: SignedDuration = secs(600);
    }
}

impl Offsets {
    /// As a number of offsets, which are counted so.
    pub(in crate::scaling) fn tolerance_percent(&self) -> i64 {
        i64::try_from(self.tolerance_percent).unwrap_or(100)
    }

    /// As a difference of offsets.
    pub(in crate::scaling) fn unreadable_most(&self) -> i64 {
        i64::try_from(self.unreadable_most).unwrap_or(i64::MAX)
    }
}

parameters! {
    /// What offsets mean where commits are missing, and a lag objective's tolerance.
    Offsets {
        /// A group that has read for so long and committed nothing says nothing of what it has
        /// read: batches that are committed when full take a minute or two.
        commits_awaited: SignedDuration = secs(180);
        /// What is left after so long without a record or a commit can be read by nobody:
        /// `max.poll.interval.ms` takes a partition from a standing owner after five minutes.
        unreadable_after: SignedDuration = secs(600);
        /// The same where records wait on purpose: longer than retries are usually delayed.
        delayed_most: SignedDuration = secs(3600);
        /// No more offsets than this are taken for an aborted transaction. Chosen, not measured.
        unreadable_most: usize = 1000;
        /// A lag threshold that is missed by less asks for nothing new: a
        /// HorizontalPodAutoscaler's default. In percent.
        tolerance_percent: usize = 10;
    }
}
