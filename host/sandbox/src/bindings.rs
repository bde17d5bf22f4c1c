//! Types and traits made from the contract in `wit/`, a copy of the repository's `wit/task-0.1`
//! (a published crate cannot reach outside itself; a test holds the two equal).

wasmtime::component::bindgen!({
    path: "wit",
    world: "sandmill:task/task",
    exports: { default: async },
});

/// The world `flow`: what it has besides the world `task`.
pub(crate) mod flow {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "sandmill:task/flow",
        imports: { "sandmill:task/futures": trappable },
        exports: { default: async },
        with: {
            "sandmill:task/types": super::sandmill::task::types,
            "sandmill:task/context": super::sandmill::task::context,
            "sandmill:task/log": super::sandmill::task::log,
            "sandmill:task/futures.task-future": crate::futures::FutureHandle,
            "sandmill:task/futures.future-list": crate::futures::ListHandle,
            "sandmill:task/futures.completions": crate::futures::WatchHandle,
        },
    });
}
