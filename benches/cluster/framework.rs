//! A v1 scheduler in protobuf: one connection for its events, one for its calls, which are pipelined.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use mesos::http::recordio;
use mesos::proto::scheduler::{Call, Event, call, event};
use mesos::proto::{
    self, CommandInfo, Filters, FrameworkId, FrameworkInfo, Offer, TaskId, TaskInfo, TaskState, offer,
};
use prost::Message as _;
use tokio::sync::Notify;

use super::fleet::scalar;
use super::wire::{self, Outlet};

/// Longer than any run.
const FOR_GOOD: f64 = 100_000.0;

/// What a scheduler does with offers.
#[derive(Clone, Copy, Debug)]
pub enum Wish {
    /// So many tasks on each agent offered, until there are `left`.
    Launch { each: usize, left: usize },
    /// None, and offer them again at once.
    DeclineAll,
    /// None, for good.
    Nothing,
}

pub struct Framework {
    master: SocketAddr,
    pub info: RefCell<FrameworkInfo>,
    wish: Cell<Wish>,
    over: Cell<bool>,
    calls: Rc<Outlet>,
    stream: RefCell<String>,
    launched: RefCell<HashMap<TaskId, Instant>>,
    /// From ACCEPT to TASK_RUNNING, of each task.
    pub latencies: RefCell<Vec<Duration>>,
    pub offers: Cell<usize>,
    pub finished: Cell<usize>,
    pub changed: Notify,
}

impl Framework {
    /// Subscribes; comes back once the master has said so.
    pub async fn subscribe(master: SocketAddr, info: FrameworkInfo, wish: Wish) -> io::Result<Rc<Framework>> {
        let calls = Outlet::open(None, master).await?;
        let events = Outlet::open(None, master).await?;
        let subscribe = Call {
            framework_id: info.id.clone(),
            r#type: Some(call::Type::Subscribe as i32),
            subscribe: Some(call::Subscribe { framework_info: info.clone(), ..Default::default() }),
            ..Default::default()
        };
        let framework = Rc::new(Framework {
            master,
            info: RefCell::new(info),
            wish: Cell::new(wish),
            over: Cell::new(false),
            calls,
            stream: RefCell::default(),
            launched: RefCell::default(),
            latencies: RefCell::default(),
            offers: Cell::default(),
            finished: Cell::default(),
            changed: Notify::new(),
        });
        framework.post(&events, &subscribe);
        let (reading, calling) = (framework.clone(), framework.clone());
        tokio::task::spawn_local(async move {
            let (mut head, mut records) = (None, recordio::Decoder::new(256 << 20));
            let _ = events.serve(|bytes| reading.received(bytes, &mut head, &mut records)).await;
        });
        tokio::task::spawn_local(async move {
            let mut answers = wire::Messages::default();
            let _ = calling
                .calls
                .serve(|bytes| {
                    answers.buffer().extend_from_slice(&bytes.split());
                    while let Some((head, body)) = answers.take() {
                        let refused = !head.first.contains(" 202 ");
                        assert!(!refused, "{}: {}", head.first, String::from_utf8_lossy(&body));
                    }
                })
                .await;
        });
        while framework.info.borrow().id.is_none() || framework.stream.borrow().is_empty() {
            framework.changed.notified().await;
        }
        Ok(framework)
    }

    pub fn wish(&self, wish: Wish) {
        self.wish.set(wish);
    }

    pub fn revive(&self) {
        self.call(call::Type::Revive, |_| {});
    }

    pub fn suppress(&self) {
        self.call(call::Type::Suppress, |_| {});
    }

    /// The last call: offers that are under way are not answered any more.
    pub fn tear_down(&self) {
        self.call(call::Type::Teardown, |_| {});
        self.over.set(true);
    }

    fn id(&self) -> Option<FrameworkId> {
        self.info.borrow().id.clone()
    }

    fn call(&self, kind: call::Type, fill: impl FnOnce(&mut Call)) {
        if self.over.get() {
            return;
        }
        let mut call = Call { framework_id: self.id(), r#type: Some(kind as i32), ..Default::default() };
        fill(&mut call);
        self.post(&self.calls, &call);
    }

    fn post(&self, outlet: &Outlet, call: &Call) {
        let body = call.encode_to_vec();
        let stream = self.stream.borrow();
        let stream = if stream.is_empty() { String::new() } else { format!("Mesos-Stream-Id: {stream}\r\n") };
        let head = format!(
            "POST /api/v1/scheduler HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-protobuf\r\n\
             Accept: application/x-protobuf\r\n{stream}Content-Length: {}\r\n\r\n",
            self.master,
            body.len()
        );
        outlet.send(|out| {
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(&body);
        });
    }

    fn received(&self, bytes: &mut BytesMut, head: &mut Option<wire::Head>, records: &mut recordio::Decoder) {
        if head.is_none() {
            *head = wire::take_head(bytes);
            let Some(head) = head else { return };
            assert!(head.first.contains(" 200 "), "SUBSCRIBE: {}", head.first);
            *self.stream.borrow_mut() = head.header("mesos-stream-id").unwrap_or_default().to_owned();
            self.changed.notify_waiters();
        }
        while let Some(chunk) = wire::take_chunk(bytes) {
            records.push(&chunk);
        }
        while let Some(record) = records.next_record().expect("a stream of records") {
            self.happened(Event::decode(record).expect("an event"));
        }
    }

    fn happened(&self, event: Event) {
        if let Some(subscribed) = event.subscribed {
            self.info.borrow_mut().id = Some(subscribed.framework_id);
            self.changed.notify_waiters();
        }
        if let Some(offers) = event.offers {
            self.offered(offers);
        }
        if let Some(update) = event.update {
            self.updated(&update.status);
        }
        if let Some(error) = event.error {
            panic!("the master ends a scheduler: {}", error.message);
        }
    }

    fn offered(&self, offers: event::Offers) {
        self.offers.set(self.offers.get() + offers.offers.len());
        self.changed.notify_waiters();
        match self.wish.get() {
            Wish::Launch { each, mut left } => {
                for offer in offers.offers {
                    let count = each.min(left);
                    left -= count;
                    self.wish.set(Wish::Launch { each, left });
                    self.accept(&offer, count);
                }
            }
            Wish::DeclineAll => self.decline(offers.offers, 0.0),
            Wish::Nothing => self.decline(offers.offers, FOR_GOOD),
        }
    }

    fn decline(&self, offers: Vec<Offer>, seconds: f64) {
        let offer_ids = offers.into_iter().map(|offer| offer.id).collect();
        let filters = Some(Filters { refuse_seconds: Some(seconds) });
        self.call(call::Type::Decline, |call| call.decline = Some(call::Decline { offer_ids, filters }));
    }

    fn accept(&self, offer: &Offer, count: usize) {
        let now = Instant::now();
        let task = |_| {
            let id = TaskId::from(uuid::Uuid::new_v4().to_string());
            self.launched.borrow_mut().insert(id.clone(), now);
            TaskInfo {
                name: "sleep".to_owned(),
                task_id: id,
                agent_id: offer.agent_id.clone(),
                resources: vec![scalar("cpus", 0.1), scalar("mem", 32.0)],
                command: Some(CommandInfo { value: Some("sleep 1000".to_owned()), ..Default::default() }),
                ..Default::default()
            }
        };
        let task_infos: Vec<TaskInfo> = (0..count).map(task).collect();
        let operation = offer::Operation {
            r#type: Some(offer::operation::Type::Launch as i32),
            launch: Some(offer::operation::Launch { task_infos }),
            ..Default::default()
        };
        let accept = call::Accept {
            offer_ids: vec![offer.id.clone()],
            operations: vec![operation],
            filters: Some(Filters { refuse_seconds: Some(FOR_GOOD) }),
        };
        self.call(call::Type::Accept, |call| call.accept = Some(accept));
    }

    fn updated(&self, status: &proto::TaskStatus) {
        if status.state == TaskState::TaskRunning as i32
            && let Some(launched) = self.launched.borrow_mut().remove(&status.task_id)
        {
            self.latencies.borrow_mut().push(launched.elapsed());
        }
        let sad = [TaskState::TaskError, TaskState::TaskLost, TaskState::TaskDropped, TaskState::TaskFailed];
        assert!(!sad.iter().any(|state| *state as i32 == status.state), "{status:?}");
        if status.state == TaskState::TaskFinished as i32 {
            self.finished.set(self.finished.get() + 1);
        }
        if let (Some(uuid), Some(agent_id)) = (status.uuid.clone(), status.agent_id.clone()) {
            let acknowledge = call::Acknowledge { agent_id, task_id: status.task_id.clone(), uuid };
            self.call(call::Type::Acknowledge, |call| call.acknowledge = Some(acknowledge));
        }
        self.changed.notify_waiters();
    }
}

/// A framework that outlives its connections.
pub fn info(name: &str) -> FrameworkInfo {
    FrameworkInfo {
        user: "root".to_owned(),
        name: name.to_owned(),
        failover_timeout: Some(3600.0),
        ..FrameworkInfo::default()
    }
}
