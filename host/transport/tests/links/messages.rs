//! Every message survives its way, and no bytes are more than an error.

use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use sandmill_core::{
    Grants, Limits, LogLevel, LogLine, LogSource, Progress, Timestamp, TraceContext, Usage,
};
use sandmill_transport::frame::{
    decode_from_worker, decode_hello, decode_to_worker, decode_welcome, encode,
};
use sandmill_transport::message::*;
use sandmill_wire::{Digest, End, EndKind, Failure, RunId, TrapKind, Value};

use crate::support::{hello, welcome};

fn run() -> impl Strategy<Value = RunId> {
    any::<[u8; 16]>().prop_map(RunId::from_bytes)
}

fn lease() -> impl Strategy<Value = RunLease> {
    (run(), any::<u64>()).prop_map(|(run, lease)| RunLease { run, lease: LeaseId(lease) })
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest::from)
}

fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        vec(any::<u8>(), 0..200).prop_map(|bytes| Payload::Inline(bytes.into())),
        (digest(), any::<u64>()).prop_map(|(digest, size)| Payload::Blob { digest, size }),
    ]
}

fn words() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn goodbye() -> impl Strategy<Value = Goodbye> {
    let versions =
        || (any::<u32>(), any::<u32>()).prop_map(|(least, most)| Versions { least, most });
    prop_oneof![
        (versions(), versions()).prop_map(|(ours, theirs)| Goodbye::Version { ours, theirs }),
        words().prop_map(Goodbye::Forbidden),
        words().prop_map(Goodbye::Busy),
        words().prop_map(Goodbye::Leaving),
        words().prop_map(Goodbye::Missing),
        words().prop_map(Goodbye::Protocol),
    ]
}

fn order() -> impl Strategy<Value = Order> {
    let rest = (any::<Option<u64>>(), any::<Option<u32>>());
    (lease(), any::<u32>(), any::<u32>(), payload(), rest).prop_map(
        |(of, spec, attempt, arguments, (index, millis))| Order {
            run: of.run,
            lease: of.lease,
            spec,
            attempt,
            arguments,
            index,
            time_left: millis.map(|millis| Duration::from_millis(millis.into())),
        },
    )
}

fn spec() -> impl Strategy<Value = Spec> {
    (any::<u32>(), digest(), any::<u64>(), words(), proptest::option::of(run()), any::<u32>())
        .prop_map(|(id, component, size, task, parent, memory)| Spec {
            id,
            component,
            size,
            stage: format!("stage {task}"),
            parent,
            limits: Limits {
                memory: memory.into(),
                timeout: Duration::from_millis(memory.into()),
                fuel: parent.map(|_| size),
                ..Limits::default()
            },
            grants: Grants {
                clock: id % 2 == 0,
                env: [(task.clone(), task.clone())].into(),
                ..Grants::default()
            },
            trace: parent.map(TraceContext::of_flow),
            task,
        })
}

fn to_worker() -> impl Strategy<Value = ToWorker> {
    prop_oneof![
        vec(spec(), 1..4).prop_map(ToWorker::Specs),
        vec(order(), 1..8).prop_map(ToWorker::Orders),
        vec(lease(), 1..8).prop_map(ToWorker::Cancel),
        vec(lease(), 1..8).prop_map(ToWorker::Recall),
        vec(lease(), 1..8).prop_map(ToWorker::Settled),
        Just(ToWorker::Heartbeat),
        goodbye().prop_map(ToWorker::Goodbye),
    ]
}

fn end() -> impl Strategy<Value = End> {
    let kind = prop_oneof![
        Just(EndKind::TimedOut),
        Just(EndKind::HostLost),
        Just(EndKind::Trapped(TrapKind::Unreachable)),
    ];
    (kind, words(), vec(words(), 0..3)).prop_map(|(kind, message, backtrace)| End {
        kind,
        message,
        backtrace,
    })
}

fn ending() -> impl Strategy<Value = Ending> {
    let failure = (words(), words(), any::<bool>(), any::<Option<u16>>()).prop_map(
        |(kind, message, retriable, details)| Failure {
            kind,
            message,
            retriable,
            details: details.map(|number| {
                let bytes = rmp_serde::to_vec_named(&(number, "more")).expect("plain data");
                Value::from_msgpack(bytes).expect("one value")
            }),
        },
    );
    prop_oneof![
        payload().prop_map(Ending::Value),
        failure.prop_map(Ending::Failure),
        payload().prop_map(Ending::LargeFailure),
        end().prop_map(Ending::Ended),
    ]
}

fn note() -> impl Strategy<Value = Note> {
    prop_oneof![
        Just(Note::Started),
        words().prop_map(|message| Note::Log(LogLine {
            source: LogSource::Stdout,
            level: LogLevel::Warn,
            message,
        })),
        (any::<u64>(), any::<Option<u64>>(), words())
            .prop_map(|(done, total, message)| Note::Progress(Progress { done, total, message })),
    ]
}

fn from_worker() -> impl Strategy<Value = FromWorker> {
    let noted = (lease(), any::<u64>(), note()).prop_map(|(of, micros, note)| Noted {
        of,
        at: Timestamp::from_micros(micros),
        note,
    });
    let report = (lease(), ending(), any::<u64>()).prop_map(|(of, ending, wall_micros)| {
        RunReport { of, ending, usage: Usage { wall_micros, ..Usage::default() } }
    });
    let back = (lease(), proptest::option::of(words())).prop_map(|(of, why)| HandBack { of, why });
    prop_oneof![
        vec(noted, 1..8).prop_map(FromWorker::Notes),
        vec(report, 1..8).prop_map(FromWorker::Ended),
        vec(back, 1..8).prop_map(FromWorker::HandBack),
        digest().prop_map(FromWorker::Need),
        (digest(), proptest::option::of(end()))
            .prop_map(|(digest, refused)| FromWorker::Holds { digest, refused }),
        (any::<u32>(), any::<u64>()).prop_map(|(running, memory)| FromWorker::Heartbeat(Load {
            running,
            memory,
            ..Load::default()
        })),
        Just(FromWorker::Draining),
        goodbye().prop_map(FromWorker::Goodbye),
    ]
}

/// The items of messages one by one, by which merged and single ones can be compared.
fn items_to(messages: Vec<ToWorker>) -> Vec<ToWorker> {
    let mut items = Vec::new();
    for message in messages {
        match message {
            ToWorker::Specs(list) => {
                items.extend(list.into_iter().map(|x| ToWorker::Specs(vec![x])))
            }
            ToWorker::Orders(list) => {
                items.extend(list.into_iter().map(|x| ToWorker::Orders(vec![x])));
            }
            ToWorker::Cancel(list) => {
                items.extend(list.into_iter().map(|x| ToWorker::Cancel(vec![x])));
            }
            ToWorker::Recall(list) => {
                items.extend(list.into_iter().map(|x| ToWorker::Recall(vec![x])));
            }
            ToWorker::Settled(list) => {
                items.extend(list.into_iter().map(|x| ToWorker::Settled(vec![x])));
            }
            // Of several heartbeats in a row, one is enough.
            ToWorker::Heartbeat if items.last() == Some(&ToWorker::Heartbeat) => {}
            other => items.push(other),
        }
    }
    items
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn messages_to_a_worker_survive(messages in vec(to_worker(), 0..12)) {
        let frame: Vec<u8> = messages.iter().flat_map(|message| encode(message).to_vec()).collect();
        let read = decode_to_worker(&frame).unwrap();
        prop_assert_eq!(items_to(read.clone()), items_to(messages));
        for pair in read.windows(2) {
            let same = std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1]);
            let single = matches!(pair[0], ToWorker::Goodbye(_));
            prop_assert!(!same || single, "neighbours of a kind stayed apart");
        }
    }

    #[test]
    fn each_message_from_a_worker_survives(message in from_worker()) {
        prop_assert_eq!(decode_from_worker(&encode(&message)).unwrap(), vec![message]);
    }

    #[test]
    fn greetings_survive(name in words(), labels in proptest::collection::btree_set(words(), 0..9)) {
        let hello = Hello { name: name.clone(), ..hello() };
        prop_assert_eq!(decode_hello(&encode(&hello)).unwrap(), hello);
        let welcome = Welcome { name, labels, ..welcome() };
        prop_assert_eq!(decode_welcome(&encode(&welcome)).unwrap(), welcome);
    }

    #[test]
    fn no_bytes_are_more_than_an_error(bytes in vec(any::<u8>(), 0..400)) {
        let _ = decode_from_worker(&bytes);
        let _ = decode_to_worker(&bytes);
        let _ = decode_hello(&bytes);
        let _ = decode_welcome(&bytes);
    }

    #[test]
    fn nor_are_messages_with_something_changed(
        message in from_worker(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = encode(&message).to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let _ = decode_from_worker(&bytes);
        let _ = decode_from_worker(&bytes[..cut.index(bytes.len())]);
    }
}

#[test]
fn what_is_nested_or_large_only_by_its_word_is_an_error() {
    // Arrays in arrays, a thousand deep, where a message should be, and in a field nobody knows.
    let deep = vec![0x91; 100_000];
    assert!(decode_from_worker(&deep).is_err());
    let mut unknown = vec![0x81];
    unknown.extend(rmp_serde::to_vec("heartbeat").unwrap());
    unknown.extend(&deep);
    assert!(decode_from_worker(&unknown).is_err());
    // Lists and strings of four thousand million items, of which none is there.
    for start in [[0xdd, 0xff, 0xff, 0xff, 0xff], [0xdb, 0xff, 0xff, 0xff, 0xff]] {
        let mut list = vec![0x81];
        list.extend(rmp_serde::to_vec("ended").unwrap());
        list.extend(start);
        assert!(decode_from_worker(&list).is_err());
        assert!(decode_from_worker(&start).is_err());
    }
    let mut many = welcome();
    many.labels = (0..=MAX_LABELS).map(|n| n.to_string()).collect();
    assert!(decode_welcome(&encode(&many)).is_err());
    let mut after = encode(&hello()).to_vec();
    after.push(0xc0);
    assert!(decode_hello(&after).unwrap_err().to_string().contains("something after it"));
    assert_eq!(decode_to_worker(&[]).unwrap(), Vec::new());
}

#[test]
fn a_field_that_only_a_newer_side_knows_is_passed_over() {
    #[derive(serde::Serialize)]
    struct Newer {
        run: RunId,
        lease: u64,
        novelty: Vec<u32>,
    }
    #[derive(serde::Serialize)]
    #[serde(rename_all = "kebab-case")]
    enum Message {
        Settled(Vec<Newer>),
    }
    let run = RunId::new();
    let newer = Message::Settled(vec![Newer { run, lease: 9, novelty: vec![1, 2] }]);
    assert_eq!(
        decode_to_worker(&encode(&newer)).unwrap(),
        [ToWorker::Settled(vec![RunLease { run, lease: LeaseId(9) }])]
    );
    let _: Bytes = encode(&newer);
}
