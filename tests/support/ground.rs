//! What tests of brokers that want to know who comes stand on, in one word: `use ground::{scene, support, token_server}` at the root
//! of the test program.

#[path = "scene.rs"]
pub(crate) mod scene;
#[path = "mod.rs"]
pub(crate) mod support;
#[path = "../../src/kafka/token/tests/server.rs"]
pub(crate) mod token_server;
