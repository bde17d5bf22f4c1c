//! Links between real servers and clients, over real sockets.

mod blobs;
mod certificates;
mod crowds;
mod hostile;
mod link;
mod messages;
mod refusals;
mod support;
