//! Components from WebAssembly text: what no compiler would make.

use sandmill::Component;
use sandmill_test_artifacts as artifacts;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// A guest of one task `t`, put together from pieces of text. Its `run` sees the parameters
/// `$task $task-len $args $args-len` and returns the address of a result, such as `(call $value
/// (address) (length))` makes.
pub struct TextGuest<'a> {
    /// The declaration of the memory, which is called `$memory`.
    pub memory: &'a str,
    /// Further items of the module.
    pub items: &'a str,
    /// What `describe` does first.
    pub describe: &'a str,
    /// What `run` does.
    pub run: &'a str,
    /// What `cabi_realloc` does first.
    pub realloc: &'a str,
}

impl Default for TextGuest<'_> {
    /// A guest that returns its arguments.
    fn default() -> Self {
        Self {
            memory: "(memory $memory (export \"memory\") 2)",
            items: "",
            describe: "",
            run: "(call $value (local.get $args) (local.get $args-len))",
            realloc: "",
        }
    }
}

impl TextGuest<'_> {
    /// The component.
    ///
    /// # Panics
    /// When the text is not WebAssembly.
    #[must_use]
    pub fn component(&self) -> Component {
        let Self { memory, items, describe, run, realloc } = self;
        component_of_module(&format!(
            r#"(module
                {memory}
                (global $free (mut i32) (i32.const 4096))
                (data (i32.const 16) "t{{}}\c0")
                (func $realloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    {realloc}
                    (local.set $at (global.get $free))
                    (global.set $free (i32.and
                        (i32.add (i32.add (local.get $at) (local.get 3)) (i32.const 15))
                        (i32.const -16)))
                    (block $fits (loop $more
                        (br_if $fits (i32.le_u (global.get $free)
                            (i32.mul (memory.size $memory) (i32.const 65536))))
                        (drop (memory.grow $memory (i32.const 1)))
                        (br $more)))
                    (local.get $at))
                ;; A list of one descriptor: name "t", no doc, both schemas "{{}}".
                (func (export "sandmill:task/runner@0.1.0#describe") (result i32)
                    {describe}
                    (i32.store (i32.const 32) (i32.const 48))
                    (i32.store (i32.const 36) (i32.const 1))
                    (i32.store (i32.const 48) (i32.const 16))
                    (i32.store (i32.const 52) (i32.const 1))
                    (i32.store (i32.const 68) (i32.const 17))
                    (i32.store (i32.const 72) (i32.const 2))
                    (i32.store (i32.const 76) (i32.const 17))
                    (i32.store (i32.const 80) (i32.const 2))
                    (i32.const 32))
                (func $value (param $at i32) (param $length i32) (result i32)
                    (i32.store (i32.const 128) (i32.const 0))
                    (i32.store (i32.const 132) (local.get $at))
                    (i32.store (i32.const 136) (local.get $length))
                    (i32.const 128))
                (func (export "sandmill:task/runner@0.1.0#run")
                    (param $task i32) (param $task-len i32) (param $args i32) (param $args-len i32)
                    (result i32)
                    {run})
                {items})"#
        ))
    }
}

/// A component of one core module that implements the contract.
///
/// # Panics
/// When the text is not WebAssembly, or does not implement the contract.
#[must_use]
pub fn component_of_module(text: &str) -> Component {
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    let (package, _) = resolve
        .push_dir(artifacts::workspace().join("wit/task-0.1"))
        .expect("the contract can be read");
    let world = resolve.select_world(&[package], Some("task")).expect("its world is there");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false)
        .expect("the contract fits into the module");
    let bytes = ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.encode())
        .unwrap_or_else(|error| panic!("the module does not make a component: {error:?}"));
    Component::new(bytes, "text")
}
