//! `add_done_callback`.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use sandmill::{StateType, TaskFuture};
use sandmill_test_prefect::{LONG, Scenario, Stage, scenario};

pub(crate) fn scenarios() -> Vec<Scenario> {
    vec![
        scenario!(
            after_the_end_it_is_called_at_once_on_this_thread,
            "src/prefect/futures.py: PrefectWrappedFuture.add_done_callback (`fn(self)`)"
        ),
        scenario!(
            before_the_end_it_is_called_once_when_that_comes,
            "src/prefect/futures.py: PrefectFuture.add_done_callback (\"when the future completes\")",
            waiting
        ),
        scenario!(
            it_is_called_when_the_run_is_cancelled,
            "src/prefect/futures.py: PrefectFuture.add_done_callback (\"or is cancelled\")",
            waiting
        ),
        scenario!(
            it_gets_the_future,
            "src/prefect/futures.py: PrefectWrappedFuture.add_done_callback (`call_with_self`)"
        ),
        scenario!(
            callbacks_are_called_in_their_order,
            "src/prefect/futures.py: PrefectConcurrentFuture._notify_prefect_done_callbacks",
            waiting
        ),
        scenario!(
            one_that_panics_harms_nobody,
            "github.com/PrefectHQ/prefect/issues/21686; src/prefect/futures.py: \
             PrefectConcurrentFuture.__init__ (\"completion notifier before any user callbacks\")",
            waiting
        ),
        scenario!(
            they_have_a_thread_of_their_own,
            "src/prefect/futures.py: PrefectWrappedFuture.add_done_callback \
             (on the thread that completes)",
            waiting,
            differs
        ),
    ]
}

fn after_the_end_it_is_called_at_once_on_this_thread(stage: &Stage) {
    let future = stage.number(1);
    future.wait(Some(LONG));
    let (sender, receiver) = mpsc::channel();
    future.on_done(move |_| sender.send(thread::current().id()).unwrap());
    assert_eq!(receiver.try_recv(), Ok(thread::current().id()));
}

fn before_the_end_it_is_called_once_when_that_comes(stage: &Stage) {
    let held = stage.held();
    let (sender, receiver) = mpsc::channel();
    held.0.on_done(move |future| sender.send(future.state().kind).unwrap());
    assert!(receiver.try_recv().is_err());
    held.let_go();
    assert_eq!(receiver.recv_timeout(LONG), Ok(StateType::Completed));
    assert!(receiver.recv_timeout(LONG).is_err(), "there is no second call");
}

fn it_is_called_when_the_run_is_cancelled(stage: &Stage) {
    let future = stage.submit("sleep", r#"{"millis":600000}"#);
    let (sender, receiver) = mpsc::channel();
    future.on_done(move |future| sender.send(future.state().kind).unwrap());
    future.cancel();
    assert_eq!(receiver.recv_timeout(LONG), Ok(StateType::Cancelled));
}

fn it_gets_the_future(stage: &Stage) {
    let future = stage.number(4);
    let (sender, receiver) = mpsc::channel::<TaskFuture>();
    future.on_done(move |future| sender.send(future).unwrap());
    let given = receiver.recv_timeout(LONG).unwrap();
    assert_eq!(given, future);
    assert_eq!(given.result(Some(Duration::ZERO)).unwrap().decode::<i64>().unwrap(), 4);
}

fn callbacks_are_called_in_their_order(stage: &Stage) {
    let held = stage.held();
    let (sender, receiver) = mpsc::channel();
    for number in 0..10 {
        let sender = sender.clone();
        held.0.on_done(move |_| sender.send(number).unwrap());
    }
    drop(sender);
    held.let_go();
    let order: Vec<u32> = receiver.into_iter().collect();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
}

fn one_that_panics_harms_nobody(stage: &Stage) {
    let held = stage.held();
    let (sender, receiver) = mpsc::channel();
    held.0.on_done(|_| panic!("a broken callback"));
    held.0.on_done(move |_| sender.send(()).unwrap());
    // Those who wait get their answer, and the callback after it is called.
    held.let_go();
    assert_eq!(receiver.recv_timeout(LONG), Ok(()));
    // Neither does one that is called at once.
    held.0.on_done(|_| panic!("another one"));
    let log = stage.log(&held.0);
    assert!(log.iter().any(|line| line.contains("a broken callback")), "{log:?}");
    assert!(log.iter().any(|line| line.contains("another one")), "{log:?}");
}

fn they_have_a_thread_of_their_own(stage: &Stage) {
    let stage = stage.with(|host| host.slots(1));
    let held = stage.held();
    let (name, named) = mpsc::channel();
    let (go, goes) = mpsc::channel::<()>();
    held.0.on_done(move |_| {
        name.send(thread::current().name().map(str::to_owned)).unwrap();
        goes.recv().unwrap();
    });
    held.let_go();
    assert_eq!(named.recv_timeout(LONG).unwrap().as_deref(), Some("sandmill-callbacks"));
    // While that one goes on, the only slot does further work.
    assert_eq!(stage.number(5).typed::<i64>().result(Some(LONG)).unwrap(), 5);
    go.send(()).unwrap();
}
