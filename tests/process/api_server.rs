//! A fake API server on loopback, because a real one cannot be made to refuse, or to serve only one
//! of the definitions. It models discovery, one list and status codes, but not TLS, credentials,
//! watches or writes.

use std::{
    io::{self, BufRead as _, BufReader, Error, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use serde_json::{Value, json};

use super::child::Home;

/// A fake API server.
pub(crate) struct ApiServer {
    pub(crate) home: Home,
    state: Arc<Mutex<ApiState>>,
}

#[derive(Default)]
struct ApiState {
    discovery: (u16, Value),
    forbidden: Option<String>,
    calls: usize,
}

impl ApiServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let home = Home::new();
        home.kubeconfig(listener.local_addr().unwrap());
        let server = Self {
            home,
            state: Arc::default(),
        };
        server.serves(&[]);
        let state = server.state.clone();
        // Ends with the test's process. A connection carries one request.
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = answer(stream, &state);
            }
        });
        server
    }

    pub(crate) fn answers(&self, code: u16, body: &Value) {
        self.state.lock().unwrap().discovery = (code, body.clone());
    }

    pub(crate) fn serves(&self, plurals: &[&str]) {
        let resource = |name: &&str| json!({"name": name, "singularName": "", "namespaced": true, "kind": "K", "verbs": ["list"]});
        let resources: Vec<_> = plurals.iter().map(resource).collect();
        self.answers(
            200,
            &json!({"kind": "APIResourceList", "groupVersion": "lagrange.dev/v1alpha1", "resources": resources}),
        );
    }

    pub(crate) fn forbids(&self, path: &str) {
        self.state.lock().unwrap().forbidden = Some(path.to_owned());
    }

    pub(crate) fn calls(&self) -> usize {
        self.state.lock().unwrap().calls
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<ApiState>) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines
        .next()
        .transpose()?
        .is_some_and(|line| !line.is_empty())
    {}
    let (code, body) = {
        let mut state = state
            .lock()
            .map_err(|_| Error::other("a test has failed"))?;
        state.calls += 1;
        let path = request.split(' ').nth(1).unwrap_or_default();
        match &state.forbidden {
            _ if path.ends_with("/v1alpha1") => state.discovery.clone(),
            Some(forbidden) if path.contains(forbidden) => (
                403,
                json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "no", "reason": "Forbidden", "code": 403}),
            ),
            _ => (
                200,
                json!({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": []}),
            ),
        }
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {code} As Told\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}
