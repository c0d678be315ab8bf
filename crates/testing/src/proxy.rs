//! A proxy in front of brokers that injects network faults: it closes connections, sends half of a
//! response, delays responses, and accepts connections without responding. Brokers behind it
//! advertise its addresses (`Kafka::secure_behind`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The faults in force at one broker.
#[derive(Debug, Clone, Copy, Default)]
struct Orders {
    /// Responses are delayed until then.
    hold: Option<Instant>,
    /// Until then connections are accepted, and nothing is sent or passed on.
    silence: Option<Instant>,
    /// Counts the cuts. A cut closes all earlier connections: with FIN if the number is even, with
    /// RST if it is odd.
    cuts: u64,
    /// Number of responses to be cut in half.
    halves: u64,
}

/// Counts of the faults that took effect.
#[derive(Debug, Default)]
struct Counters {
    open: AtomicUsize,
    cut: AtomicUsize,
    halved: AtomicUsize,
    held: AtomicUsize,
    silenced: AtomicUsize,
}

/// One port for each broker. Everything ends when this is dropped.
pub struct Proxy {
    listeners: Mutex<Vec<TcpListener>>,
    ports: Vec<u16>,
    orders: Vec<watch::Sender<Orders>>,
    counters: Arc<Counters>,
    tasks: Mutex<JoinSet<()>>,
}

impl Proxy {
    /// Opens the ports, which brokers need before they start. Connections wait until `serve` is
    /// called.
    pub async fn bind(brokers: u32) -> Self {
        let mut listeners = Vec::new();
        for _ in 0..brokers {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
        Self {
            ports: listeners.iter().map(port).collect(),
            orders: listeners.iter().map(|_| watch::Sender::default()).collect(),
            listeners: Mutex::new(listeners),
            counters: Arc::default(),
            tasks: Mutex::default(),
        }
    }

    /// Addresses of the brokers through the proxy.
    pub fn addresses(&self) -> String {
        let addresses = self.ports.iter().map(|port| format!("127.0.0.1:{port}"));
        addresses.collect::<Vec<_>>().join(",")
    }

    /// Starts to pass connections on to these servers, in the order of the brokers.
    pub fn serve(&self, servers: &str) {
        let listeners = std::mem::take(&mut *lock(&self.listeners));
        let brokers = listeners.into_iter().zip(servers.split(','));
        for ((listener, server), orders) in brokers.zip(&self.orders) {
            let accepting = accept(
                listener,
                server.to_owned(),
                orders.clone(),
                Arc::clone(&self.counters),
            );
            lock(&self.tasks).spawn(accepting);
        }
    }

    fn order(&self, broker: u32, change: impl FnOnce(&mut Orders)) {
        let index = usize::try_from(broker - 1).unwrap();
        self.orders[index].send_modify(change);
    }

    /// Closes the connections to a broker. With `reset` the client gets an error.
    pub fn cut(&self, broker: u32, reset: bool) {
        self.order(broker, |orders| {
            let odd = orders.cuts % 2 == 1;
            orders.cuts += if odd == reset { 2 } else { 1 };
        });
    }

    /// Passes on half of the next response on each connection to a broker, then closes the
    /// connection.
    pub fn halve(&self, broker: u32) {
        self.order(broker, |orders| orders.halves += 1);
    }

    /// Delays the responses of a broker until this time has passed.
    pub fn hold(&self, broker: u32, lasting: Duration) {
        let until = Some(Instant::now() + lasting);
        self.order(broker, |orders| orders.hold = until);
    }

    /// For this time a broker accepts connections and never responds; existing connections end.
    pub fn silence(&self, broker: u32, lasting: Duration) {
        let until = Some(Instant::now() + lasting);
        self.order(broker, |orders| orders.silence = until);
        self.cut(broker, false);
    }

    /// Ends all faults.
    pub fn release(&self) {
        for orders in &self.orders {
            orders.send_modify(|orders| {
                orders.hold = None;
                orders.silence = None;
            });
        }
    }

    /// Number of open connections; each takes two descriptors of this process.
    pub fn open(&self) -> usize {
        self.counters.open.load(Ordering::Relaxed)
    }

    /// The faults that took effect, as text.
    pub fn reported(&self) -> String {
        let Counters {
            cut,
            halved,
            held,
            silenced,
            ..
        } = &*self.counters;
        let [cut, halved, held, silenced] =
            [cut, halved, held, silenced].map(|count| count.load(Ordering::Relaxed));
        format!(
            "{cut} connections cut, {halved} responses halved, {held} delayed, {silenced} \
             connections without a response"
        )
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    server: String,
    orders: watch::Sender<Orders>,
    counters: Arc<Counters>,
) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let connection = Connection {
            born: *orders.borrow(),
            orders: orders.subscribe(),
            counters: Arc::clone(&counters),
        };
        let server = server.clone();
        connections.spawn(async move { connection.live(client, &server).await });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection through the proxy.
struct Connection {
    born: Orders,
    orders: watch::Receiver<Orders>,
    counters: Arc<Counters>,
}

impl Connection {
    async fn live(mut self, client: TcpStream, server: &str) {
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        let _open = Open(Arc::clone(&self.counters));
        let (mut reported, born) = (self.orders.clone(), self.born.cuts);
        let cut = reported.wait_for(|orders| orders.cuts != born);
        let (mut answers, mut questions) = client.into_split();
        let reset = tokio::select! {
            biased;
            orders = cut => {
                self.counters.cut.fetch_add(1, Ordering::Relaxed);
                orders.is_ok_and(|orders| orders.cuts % 2 == 1)
            }
            () = self.pass(&mut answers, &mut questions, server) => false,
        };
        if reset && let Ok(client) = answers.reunite(questions) {
            // Errors are ignored: the other side may be gone.
            let _ = client.set_zero_linger();
        }
    }

    async fn pass(
        &mut self,
        from_client: &mut OwnedReadHalf,
        to_client: &mut OwnedWriteHalf,
        server: &str,
    ) {
        let silence = |orders: &Orders| orders.silence.filter(|until| *until > Instant::now());
        if let Some(until) = silence(&self.born) {
            self.counters.silenced.fetch_add(1, Ordering::Relaxed);
            self.until(until, |orders| orders.silence.is_none()).await;
            // The client has to connect again.
            return;
        }
        let Ok(server) = TcpStream::connect(server).await else {
            return;
        };
        let (from_server, mut to_server) = server.into_split();
        tokio::select! {
            _ = tokio::io::copy(from_client, &mut to_server) => {}
            () = self.answer(from_server, to_client) => {}
        }
    }

    async fn answer(&mut self, mut from: OwnedReadHalf, to: &mut OwnedWriteHalf) {
        let mut buffer = vec![0; 16 * 1024];
        loop {
            let Ok(size @ 1..) = from.read(&mut buffer).await else {
                return;
            };
            let orders = *self.orders.borrow();
            if let Some(until) = orders.hold.filter(|until| *until > Instant::now()) {
                self.counters.held.fetch_add(1, Ordering::Relaxed);
                self.until(until, |orders| orders.hold.is_none()).await;
            }
            if orders.halves != self.born.halves && size > 1 {
                self.counters.halved.fetch_add(1, Ordering::Relaxed);
                let _ = to.write_all(&buffer[..size / 2]).await;
                return;
            }
            if to.write_all(&buffer[..size]).await.is_err() {
                return;
            }
        }
    }

    /// Waits until `then`, or until released.
    async fn until(&mut self, then: Instant, released: impl FnMut(&Orders) -> bool) {
        let released = self.orders.wait_for(released);
        let _ = tokio::time::timeout_at(then.into(), released).await;
    }
}

/// Counts a connection while it is open.
struct Open(Arc<Counters>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
