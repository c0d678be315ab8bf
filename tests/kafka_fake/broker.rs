//! Brokers that speak just enough of Kafka's protocol, count what they are asked, and misbehave on demand.

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

use super::answers::{answer, versions};

/// What happens to a request instead of, or before, its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mischief {
    /// It is answered after this long.
    Delay(Duration),
    /// It is never answered; those behind it on the connection are not either.
    Silence,
    /// The connection is closed.
    Drop,
    /// Half of the answer is sent, and the connection is closed.
    Half,
    /// This is answered, after the four bytes of its size and the four of the correlation.
    Instead(&'static [u8]),
    /// An answer of `size` bytes is begun, as its first four bytes say, and so many bytes of it are sent, `at_once` at a time with a
    /// `pause` before each, and nothing more. If it is `unsolicited`, it follows the answer.
    Begin {
        unsolicited: bool,
        size: i32,
        sent: usize,
        at_once: usize,
        pause: Duration,
    },
    /// Each of these at random: one request in this many is dropped, one in three of them is delayed a little.
    Chaos(u32),
}

/// A group as the brokers know it.
#[derive(Debug, Clone)]
pub(crate) struct FakeGroup {
    /// The broker that coordinates it.
    pub(crate) coordinator: i32,
    /// `consumer` for members of either protocol; something else for others' groups.
    pub(crate) kind: &'static str,
    /// Committed in every partition.
    pub(crate) committed: i64,
    /// Error that an OffsetFetch is answered with.
    pub(crate) error: i16,
}

/// A topic.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeTopic {
    /// Leader of each partition; partitions of leader -2 are left out of the answer.
    pub(crate) leaders: Vec<i32>,
    /// What ListOffsets answers for latest.
    pub(crate) end: i64,
    /// Error that ListOffsets is answered with.
    pub(crate) error: i16,
}

/// The cluster that all brokers speak of.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) addresses: BTreeMap<i32, SocketAddr>,
    pub(crate) topics: BTreeMap<String, FakeTopic>,
    pub(crate) groups: BTreeMap<String, FakeGroup>,
    /// By kind of request; on every broker.
    pub(crate) mischief: BTreeMap<i16, Mischief>,
    /// Requests by kind.
    pub(crate) asked: BTreeMap<i16, usize>,
    /// Brokers that refuse every login; whoever does not want to log in is served.
    pub(crate) refusing: BTreeSet<i32>,
    /// What they say then, if it is something else than what Kafka says.
    pub(crate) words: Option<String>,
    /// Logins tried, by broker.
    pub(crate) logins: BTreeMap<i32, usize>,
    /// Brokers that are named besides, from this number on. All of them are the first one.
    pub(crate) named: std::ops::Range<i32>,
    /// Those are others in each answer.
    pub(crate) is_restless: bool,
    /// Metadata names neither a broker nor a topic, as of a cluster whose brokers are all fenced.
    pub(crate) is_empty: bool,
    /// What every member is assigned, as the one that leads its group wrote it down.
    pub(crate) assignment: &'static [u8],
    /// Connections that have ended.
    pub(crate) ended: usize,
    /// Requests for metadata that would have had missing topics created.
    pub(crate) would_create: usize,
}

/// Brokers 1 to n. They end when this is dropped.
pub(crate) struct Brokers {
    world: Arc<Mutex<World>>,
    /// One of them.
    pub(crate) bootstrap: String,
    _tasks: JoinSet<()>,
}

impl Brokers {
    pub(crate) async fn start(count: i32) -> Self {
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

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// A topic whose partitions are led by the brokers in turn, each with an end of 100.
    pub(crate) fn topic(&self, name: &str, partitions: usize) {
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

    /// A group that has committed 90 everywhere.
    pub(crate) fn group(&self, id: &str, coordinator: i32) {
        let group = FakeGroup {
            coordinator,
            kind: "consumer",
            committed: 90,
            error: 0,
        };
        self.world().groups.insert(id.to_owned(), group);
    }

    /// How many requests of a kind since the last time.
    pub(crate) fn take_asked(&self, key: ApiKey) -> usize {
        self.world().asked.remove(&(key as i16)).unwrap_or(0)
    }
}

async fn serve(id: i32, listener: TcpListener, world: Arc<Mutex<World>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let world = Arc::clone(&world);
        // A connection ends when the client or some mischief ends it.
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
                // What the client sends meanwhile is read, so that it is seen when it closes.
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
    // A version of ApiVersions that we do not know is answered with version 0 (KIP-511).
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
