//! The contract's bindings, generated from this crate's own copy of the WIT: a path out of the
//! package would build here and break for everyone who downloads it.

wit_bindgen::generate!({
    path: "wit",
    world: "task",
    pub_export_macro: true,
    default_bindings_module: "::sandmill_guest::__rt::bindings",
    generate_all,
});
