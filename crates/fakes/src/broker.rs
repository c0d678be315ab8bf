//! Brokers that implement a small part of Kafka's protocol, count requests, and misbehave on
//! demand.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::messages::{ApiKey, RequestHeader, RequestKind, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Encodable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::answers::{answer, versions};

/// What happens to a request instead of, or before, its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
    /// The response is sent after this time.
    Delay(Duration),
    /// No response is sent, also not to later requests on the connection.
    Silence,
    /// The connection is closed.
    Drop,
    /// Half of the response is sent, and the connection is closed.
    Half,
    /// These bytes are sent as the response, after four bytes of size and four of correlation.
    Instead(&'static [u8]),
    /// A response is begun, with its size in the first four bytes, and never completed.
    Begin {
        /// Whether it follows the real response, unrequested.
        unsolicited: bool,
        /// The size that it announces.
        size: i32,
        /// The number of bytes that are really sent.
        sent: usize,
        /// Most bytes of one write.
        at_once: usize,
        /// Pause before each write.
        pause: Duration,
    },
    /// Faults at random: of this number of requests, one is dropped and two are delayed a little.
    Chaos(u32),
}

/// A group on the fake brokers.
#[derive(Debug, Clone)]
pub struct FakeGroup {
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// `consumer` for consumer groups of either protocol; another value for groups of other kinds.
    pub kind: &'static str,
    /// The commit in every partition.
    pub committed: i64,
    /// Error in the response to OffsetFetch.
    pub error: i16,
}

/// A topic.
#[derive(Debug, Clone, Default)]
pub struct FakeTopic {
    /// Leader of each partition; partitions of leader -2 are left out of the response.
    pub leaders: Vec<i32>,
    /// Log end that ListOffsets returns.
    pub end: i64,
    /// Error in the response to ListOffsets.
    pub error: i16,
}

/// The state of the cluster, which all brokers share.
#[derive(Debug, Default)]
pub struct World {
    /// Address of each broker, by its number.
    pub addresses: BTreeMap<i32, SocketAddr>,
    /// Topics by name; others do not exist.
    pub topics: BTreeMap<String, FakeTopic>,
    /// Groups by name; others are dead and coordinated by broker 1.
    pub groups: BTreeMap<String, FakeGroup>,
    /// Faults by kind of request, on every broker.
    pub mischief: BTreeMap<i16, Mischief>,
    /// Number of requests by kind.
    pub asked: BTreeMap<i16, usize>,
    /// Brokers that refuse every login; clients without a login are served.
    pub refusing: BTreeSet<i32>,
    /// Their message, if it is not Kafka's.
    pub words: Option<String>,
    /// Login attempts by broker.
    pub logins: BTreeMap<i32, usize>,
    /// Numbers of additional brokers in the metadata. All of them have the address of the first
    /// broker.
    pub named: std::ops::Range<i32>,
    /// Whether the additional brokers change with each response.
    pub is_restless: bool,
    /// Whether the metadata has neither brokers nor topics, as if all brokers were fenced.
    pub is_empty: bool,
    /// The assignment of every member, as bytes of the group leader.
    pub assignment: &'static [u8],
    /// Number of connections that have ended.
    pub ended: usize,
    /// Number of metadata requests that allow the creation of missing topics.
    pub would_create: usize,
}

/// Brokers 1 to n. They end when this is dropped.
pub struct Brokers {
    world: Arc<Mutex<World>>,
    /// Address of one of them.
    pub bootstrap: String,
    _tasks: JoinSet<()>,
}

impl Brokers {
    /// Starts `count` brokers, each on its own port, without topics and groups.
    pub async fn start(count: i32) -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let mut tasks = JoinSet::new();
        for id in 1..=count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            world.lock().unwrap().addresses.insert(id, address);
            tasks.spawn(serve(id, listener, Arc::clone(&world)));
        }
        let bootstrap = world.lock().unwrap().addresses[&1].to_string();
        Self {
            world,
            bootstrap,
            _tasks: tasks,
        }
    }

    /// The state behind the responses. It can be read and changed while the brokers run.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Adds a topic. The brokers lead its partitions in turn; every log end is 100.
    pub fn topic(&self, name: &str, partitions: usize) {
        let mut world = self.world();
        let brokers: Vec<i32> = world.addresses.keys().copied().collect();
        let leaders = brokers.into_iter().cycle().take(partitions).collect();
        let topic = FakeTopic {
            leaders,
            end: 100,
            error: 0,
        };
        world.topics.insert(name.to_owned(), topic);
    }

    /// Adds a group that has committed 90 in every partition.
    pub fn group(&self, id: &str, coordinator: i32) {
        let group = FakeGroup {
            coordinator,
            kind: "consumer",
            committed: 90,
            error: 0,
        };
        self.world().groups.insert(id.to_owned(), group);
    }

    /// Number of requests of a kind since the last call.
    pub fn take_asked(&self, key: ApiKey) -> usize {
        self.world().asked.remove(&(key as i16)).unwrap_or(0)
    }
}

async fn serve(id: i32, listener: TcpListener, world: Arc<Mutex<World>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let world = Arc::clone(&world);
        // The client or a fault ends the connection.
        connections.spawn(async move {
            drop(converse(id, stream, &world).await);
            world.lock().unwrap().ended += 1;
        });
    }
}

async fn converse(id: i32, mut stream: TcpStream, world: &Mutex<World>) -> std::io::Result<()> {
    let mut random = u32::from(stream.peer_addr()?.port());
    loop {
        let size = usize::try_from(stream.read_i32().await?).unwrap();
        let mut request = vec![0; size];
        stream.read_exact(&mut request).await?;
        let mut request = Bytes::from(request);
        let key = i16::from_be_bytes([request[0], request[1]]);
        let version = i16::from_be_bytes([request[2], request[3]]);
        let mischief = {
            let mut world = world.lock().unwrap();
            *world.asked.entry(key).or_default() += 1;
            world.mischief.get(&key).copied()
        };
        let reply = reply(id, key, version, &mut request, world);
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        match mischief {
            None => {}
            Some(Mischief::Delay(delay)) => tokio::time::sleep(delay).await,
            Some(Mischief::Silence) => std::future::pending().await,
            Some(Mischief::Drop) => return Ok(()),
            Some(Mischief::Half) => return stream.write_all(&reply[..reply.len() / 2]).await,
            Some(Mischief::Instead(answer)) => {
                let size = i32::try_from(answer.len() + 4).unwrap();
                stream.write_all(&size.to_be_bytes()).await?;
                stream.write_all(&reply[4..8]).await?;
                stream.write_all(answer).await?;
                continue;
            }
            Some(Mischief::Begin {
                unsolicited,
                size,
                mut sent,
                at_once,
                pause,
            }) => {
                let (mut answers, mut sender) = stream.into_split();
                let send = async {
                    if unsolicited {
                        sender.write_all(&reply).await?;
                    }
                    sender.write_all(&size.to_be_bytes()).await?;
                    if !unsolicited {
                        sender.write_all(&reply[4..8]).await?;
                    }
                    while sent > 0 {
                        tokio::time::sleep(pause).await;
                        let piece = sent.min(at_once);
                        sender.write_all(&vec![0; piece]).await?;
                        sent -= piece;
                    }
                    std::future::pending().await
                };
                // Keep reading, to notice when the client closes.
                let gone = async {
                    while answers.read(&mut [0; 1024]).await? > 0 {}
                    Ok(())
                };
                return tokio::select! {
                    end = send => end,
                    end = gone => end,
                };
            }
            Some(Mischief::Chaos(one_in)) => match (random >> 16) % one_in {
                0 => return Ok(()),
                1..=2 => tokio::time::sleep(Duration::from_millis(u64::from(random >> 23))).await,
                _ => {}
            },
        }
        stream.write_all(&reply).await?;
    }
}

fn reply(id: i32, key: i16, version: i16, request: &mut Bytes, world: &Mutex<World>) -> BytesMut {
    let api = ApiKey::try_from(key).unwrap();
    let header = RequestHeader::decode(request, api.request_header_version(version)).unwrap();
    // The response to an unsupported version of ApiVersions has version 0 (KIP-511).
    let (response, version) = if api == ApiKey::ApiVersions && version > 3 {
        (versions(35), 0)
    } else {
        let request = RequestKind::decode(api, request, version).unwrap();
        (
            answer(id, request, version, &mut world.lock().unwrap()),
            version,
        )
    };
    let mut reply = BytesMut::new();
    reply.put_i32(0);
    let correlation = ResponseHeader::default().with_correlation_id(header.correlation_id);
    correlation
        .encode(&mut reply, api.response_header_version(version))
        .unwrap();
    response.encode(&mut reply, version).unwrap();
    let size = i32::try_from(reply.len() - 4).unwrap();
    reply[..4].copy_from_slice(&size.to_be_bytes());
    reply
}
