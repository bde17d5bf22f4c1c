//! Many hosts by the real binary: workers, the remote executor, certificates and tokens, pools in
//! processes. What happens on bad networks is tested in `tests/` of the workspace.

mod certs;
mod conflicts;
mod drains;
mod engine;
mod flood;
mod isolation;
mod links;
mod nats;
mod running;
#[path = "../support/mod.rs"]
mod support;
mod untaken;
mod verify;
mod waiting;
mod worker;
