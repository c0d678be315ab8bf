//! Brokers that speak just enough of Kafka's protocol, count what they are asked, and misbehave on
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

/// What happens to a request instead of, or before, its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mischief {
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
    /// An answer is begun, as its first four bytes say, and never ended.
    Begin {
        /// Whether it comes after the real answer, which nobody has asked it to.
        unsolicited: bool,
        /// How long it claims to be.
        size: i32,
        /// How many bytes of it really come.
        sent: usize,
        /// The most that is written in one go.
        at_once: usize,
        /// The time before each write.
        pause: Duration,
    },
    /// Each of these at random: one request in this many is dropped, one in three of them is
    /// delayed a little.
    Chaos(u32),
}

/// A group as the brokers know it.
#[derive(Debug, Clone)]
pub struct FakeGroup {
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// `consumer` for members of either protocol; something else for others' groups.
    pub kind: &'static str,
    /// Committed in every partition.
    pub committed: i64,
    /// Error that an OffsetFetch is answered with.
    pub error: i16,
}

/// A topic.
#[derive(Debug, Clone, Default)]
pub struct FakeTopic {
    /// Leader of each partition; partitions of leader -2 are left out of the answer.
    pub leaders: Vec<i32>,
    /// What ListOffsets answers for latest.
    pub end: i64,
    /// Error that ListOffsets is answered with.
    pub error: i16,
}

/// The cluster that all brokers speak of.
#[derive(Debug, Default)]
pub struct World {
    /// Where each broker listens, by its number.
    pub addresses: BTreeMap<i32, SocketAddr>,
    /// By name; a topic that is not here is not known.
    pub topics: BTreeMap<String, FakeTopic>,
    /// By name; a group that is not here is dead, and coordinated by broker 1.
    pub groups: BTreeMap<String, FakeGroup>,
    /// By kind of request; on every broker.
    pub mischief: BTreeMap<i16, Mischief>,
    /// Requests by kind.
    pub asked: BTreeMap<i16, usize>,
    /// Brokers that refuse every login; whoever does not want to log in is served.
    pub refusing: BTreeSet<i32>,
    /// What they say then, if it is something else than what Kafka says.
    pub words: Option<String>,
    /// Logins tried, by broker.
    pub logins: BTreeMap<i32, usize>,
    /// Brokers that are named besides, from this number on. All of them are the first one.
    pub named: std::ops::Range<i32>,
    /// Those are others in each answer.
    pub is_restless: bool,
    /// Metadata names neither a broker nor a topic, as of a cluster whose brokers are all fenced.
    pub is_empty: bool,
    /// What every member is assigned, as the one that leads its group wrote it down.
    pub assignment: &'static [u8],
    /// Connections that have ended.
    pub ended: usize,
    /// Requests for metadata that would have had missing topics created.
    pub would_create: usize,
}

/// Brokers 1 to n. They end when this is dropped.
pub struct Brokers {
    world: Arc<Mutex<World>>,
    /// One of them.
    pub bootstrap: String,
    _tasks: JoinSet<()>,
}

impl Brokers {
    /// Starts so many, each on a port of its own; they know of no topic and no group.
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

    /// What they answer from, to be read and changed while they run.
    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// A topic whose partitions are led by the brokers in turn, each with an end of 100.
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

    /// A group that has committed 90 everywhere.
    pub fn group(&self, id: &str, coordinator: i32) {
        let group = FakeGroup {
            coordinator,
            kind: "consumer",
            committed: 90,
            error: 0,
        };
        self.world().groups.insert(id.to_owned(), group);
    }

    /// How many requests of a kind since the last time.
    pub fn take_asked(&self, key: ApiKey) -> usize {
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
