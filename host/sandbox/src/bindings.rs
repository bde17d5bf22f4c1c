//! Types and traits made from the contract in `wit/`, a copy of the repository's `wit/task-0.1`
//! (a published crate cannot reach outside itself; a test holds the two equal).

wasmtime::component::bindgen!({
    path: "wit",
    world: "sandmill:task/task",
    exports: { default: async },
});
