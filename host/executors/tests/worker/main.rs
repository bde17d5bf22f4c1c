//! What a worker does for coordinators, over links made by hand and with a scripted invoker.

mod components;
mod drain;
mod greedy;
mod lasts;
mod leases;
mod links;
mod load;
mod orders;
mod random;
mod said;
mod served;
mod slow;
mod support;
mod values;
