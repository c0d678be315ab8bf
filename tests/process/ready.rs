//! `lagrange ready` beside an operator, and beside a server that becomes ready.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener},
    process::Output,
    thread,
};

use super::{
    api_server::ApiServer,
    child::{lagrange, until},
    closed_port,
};

fn ready(address: SocketAddr, more: &[&str]) -> Output {
    let address = address.to_string();
    let mut command = lagrange();
    command.args(["ready", &address]).args(more);
    command.output().unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn ready_says_in_one_line_what_an_operator_waits_for() {
    let api = ApiServer::start();
    let operator = api.home.run(&[]);
    let pages = operator.pages();
    let line = until(
        || complaint(&ready(pages, &[])),
        |line| line.contains("resource definitions"),
    );
    let head =
        format!("lagrange: http://{pages}/readyz answers 503 Service Unavailable: waiting for: ");
    assert!(line.starts_with(&head), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
}

#[test]
fn ready_without_an_operator_says_so_and_for_how_long() {
    let nobody = closed_port();
    let line = complaint(&ready(nobody, &["--timeout=2s"]));
    let head = format!("lagrange: no answer from http://{nobody}/readyz for ");
    assert!(line.starts_with(&head), "{line}");
    assert!(line.contains("Connection refused"), "{line}");
}

#[test]
fn ready_waits_until_the_answer_is_ready() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        let answers = ["503 Service Unavailable", "200 OK"];
        for (answer, stream) in answers.iter().zip(listener.incoming()) {
            let mut stream = stream.unwrap();
            let request = BufReader::new(&stream).lines().next().unwrap().unwrap();
            assert_eq!(request, "GET /readyz HTTP/1.1");
            let head = format!("HTTP/1.1 {answer}\r\nContent-Length: 6\r\n\r\n");
            stream
                .write_all(format!("{head}ready\n").as_bytes())
                .unwrap();
        }
    });
    let output = ready(address, &["--timeout=1m"]);
    server.join().unwrap();
    assert!(output.status.success());
    assert_eq!(output.stdout, b"ready\n");
    assert!(output.stderr.is_empty());
}
