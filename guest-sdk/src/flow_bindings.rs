//! Bindings of what world `flow` adds to world `task`. They are apart, so that a component without
//! flows neither imports nor exports any of it; a flow's component has both, which is the world.

wit_bindgen::generate!({
    path: "wit",
    inline: "
        package sandmill:guest-sdk;

        world flow-additions {
            import sandmill:task/futures@0.1.0;
            export sandmill:task/flows@0.1.0;
        }
    ",
    with: {
        "sandmill:task/types@0.1.0": crate::bindings::sandmill::task::types,
        "sandmill:task/futures@0.1.0": generate,
        "sandmill:task/flows@0.1.0": generate,
    },
    pub_export_macro: true,
    export_macro_name: "export_flows",
    default_bindings_module: "::sandmill_guest::__rt::flow_bindings",
});
