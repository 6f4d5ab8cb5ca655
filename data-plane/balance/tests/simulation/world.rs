//! The play: events in the order of their time.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tyrscale_balance::{Ask, Choice, Deadline, Facts, Obstacle, RetryBudget, Selector, Strategy};

use super::dice::Dice;
use super::endpoint::{Endpoint, Holds};
use super::laws::Thrift;
use super::node::{Ending, HEAD, Node, Question};
use super::reload::{self, Upstream};

const REQUESTS: u64 = 1_000;
const ATTEMPT: Duration = Duration::from_millis(300);
const TOTAL: Duration = Duration::from_secs(10);

/// What is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first upstream never fails and has everything.
    OneIsWell,
    AnyMayFail,
    /// Nothing fails and nothing changes.
    AllAreWell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    End(u64),
    Wake(u64),
    Leave(u64),
    Shift,
    Probe,
    Reload,
}

#[derive(Debug)]
struct Request {
    question: Question,
    deadline: Deadline,
    tried: Vec<u64>,
    attempts: u32,
    out: u32,
}

#[derive(Debug)]
struct Attempt {
    request: u64,
    question: Question,
    endpoint: Rc<RefCell<Endpoint>>,
    holds: Holds,
    ending: Ending,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Answered,
    Failed,
    OverBudget,
    Gone,
}

#[derive(Debug)]
pub(super) struct World {
    kind: Kind,
    dice: Dice,
    now: Instant,
    events: BinaryHeap<Reverse<(Instant, u64, Event)>>,
    next_id: u64,
    arrived: u64,
    route: Vec<Upstream>,
    selector: Selector,
    budget: RetryBudget,
    /// Whether the budget is more than any request can use up.
    generous: bool,
    thrift: Thrift,
    racing: usize,
    requests: BTreeMap<u64, Request>,
    attempts: BTreeMap<u64, Attempt>,
    waiting_for_slot: VecDeque<u64>,
    /// Every endpoint that ever was.
    endpoints: Vec<Rc<RefCell<Endpoint>>>,
    first_attempts: BTreeMap<u64, u32>,
}

impl World {
    pub(super) fn new(kind: Kind, mut dice: Dice) -> Self {
        let now = Instant::now();
        let mut route: Vec<Upstream> = (0..dice.between(2, 5))
            .map(|id| {
                let calm = kind == Kind::AllAreWell || (kind == Kind::OneIsWell && id == 0);
                let node = if calm {
                    Node::well(&mut dice)
                } else {
                    Node::random(&mut dice)
                };
                reload::upstream(id, node, !calm, &mut dice, now)
            })
            .collect();
        route[0].member.weight = route[0].member.weight.max(1.0);
        let strategy = if kind == Kind::AllAreWell {
            route.iter_mut().for_each(|upstream| upstream.member.tier = 0);
            Strategy::WeightRoundRobin
        } else {
            dice.among(&reload::STRATEGIES)
        };
        let members = reload::members(&route);
        let (share, per_second) = dice.among(&[(0.2, 1.0), (1.0, 5.0), (10.0, 10.0)]);
        Self {
            kind,
            now,
            events: BinaryHeap::new(),
            next_id: 1_000,
            arrived: 0,
            selector: Selector::new(reload::settings(strategy, &mut dice), &members, now),
            endpoints: route
                .iter()
                .map(|upstream| Rc::clone(&upstream.endpoint))
                .collect(),
            route,
            budget: RetryBudget::new(share, per_second, now),
            generous: share >= 10.0,
            thrift: Thrift::new(share, per_second, now),
            racing: if kind != Kind::AllAreWell && dice.one_in(4) {
                2
            } else {
                1
            },
            dice,
            requests: BTreeMap::new(),
            attempts: BTreeMap::new(),
            waiting_for_slot: VecDeque::new(),
            first_attempts: BTreeMap::new(),
        }
    }

    pub(super) fn play(mut self) {
        self.schedule(Duration::ZERO, Event::Probe);
        self.schedule(Duration::from_millis(1), Event::Arrive);
        if self.kind != Kind::AllAreWell {
            self.schedule(Duration::from_millis(500), Event::Shift);
            self.schedule(Duration::from_millis(900), Event::Reload);
        }
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            assert!(at >= self.now);
            self.now = at;
            self.happen(event);
        }
        assert!(
            self.requests.is_empty() && self.attempts.is_empty(),
            "something never ended"
        );
        for endpoint in &self.endpoints {
            endpoint.borrow().check_at_rest(self.now);
        }
        if self.kind == Kind::AllAreWell {
            self.check_shares();
        }
    }

    fn schedule(&mut self, after: Duration, event: Event) {
        self.next_id += 1;
        self.events.push(Reverse((self.now + after, self.next_id, event)));
    }

    fn happen(&mut self, event: Event) {
        let goes_on = self.arrived < REQUESTS;
        match event {
            Event::Arrive => self.arrive(),
            Event::End(attempt) => self.end(attempt),
            Event::Wake(request) => self.step(request),
            Event::Leave(request) => self.finish(request, Fate::Gone),
            Event::Shift => {
                let skip = usize::from(self.kind == Kind::OneIsWell);
                for upstream in self.route.iter().filter(|upstream| upstream.id != 0 || skip == 0) {
                    if self.dice.one_in(3) {
                        upstream.node.borrow_mut().shift(&mut self.dice);
                    }
                }
            }
            Event::Probe => {
                for upstream in &self.route {
                    let good = upstream.node.borrow().passes_probe();
                    upstream.endpoint.borrow_mut().probed(good, self.now);
                }
            }
            Event::Reload => self.reload(),
        }
        if goes_on {
            match event {
                Event::Shift => self.schedule(Duration::from_millis(700), event),
                Event::Probe => self.schedule(Duration::from_millis(400), event),
                Event::Reload => self.schedule(Duration::from_millis(900), event),
                Event::Arrive => {
                    let gap = Duration::from_millis(self.dice.between(0, 25));
                    self.schedule(gap, event);
                }
                Event::End(_) | Event::Wake(_) | Event::Leave(_) => {}
            }
        }
    }

    fn reload(&mut self) {
        let old: Vec<u64> = self.route.iter().map(|upstream| upstream.id).collect();
        self.next_id += 1;
        let spared = (self.kind == Kind::OneIsWell).then_some(0);
        reload::change(&mut self.route, self.next_id, spared, &mut self.dice, self.now);
        self.selector = reload::selector(&self.selector, &old, &self.route, &mut self.dice, self.now);
        for upstream in self.route.iter().filter(|upstream| !old.contains(&upstream.id)) {
            self.endpoints.push(Rc::clone(&upstream.endpoint));
        }
    }

    fn arrive(&mut self) {
        self.arrived += 1;
        self.next_id += 1;
        let id = self.next_id;
        let question = Question {
            method: self.dice.among(&["eth_call", "eth_call", "trace_block"]),
            block: self.dice.among(&[HEAD, HEAD, 1_200, 700, 3]),
        };
        let request = Request {
            question,
            deadline: Deadline::new(self.now, TOTAL, ATTEMPT),
            tried: Vec::new(),
            attempts: 0,
            out: 0,
        };
        self.requests.insert(id, request);
        self.budget.on_request(self.now);
        self.thrift.request(self.now);
        if self.kind != Kind::AllAreWell && self.dice.one_in(20) {
            let patience = Duration::from_millis(self.dice.between(0, 100));
            self.schedule(patience, Event::Leave(id));
        }
        self.step(id);
    }

    /// Takes a request one decision further.
    fn step(&mut self, id: u64) {
        let Some(request) = self.requests.get(&id).filter(|request| request.out == 0) else {
            return;
        };
        if request.deadline.remaining(self.now).is_zero() {
            return self.finish(id, Fate::Failed);
        }
        let facts: Vec<Facts> = self
            .route
            .iter()
            .map(|upstream| {
                let tried = request.tried.contains(&upstream.id);
                upstream
                    .endpoint
                    .borrow()
                    .facts(request.question, tried, self.now)
            })
            .collect();
        let ask = Ask {
            now: self.now,
            random: self.dice.bits(),
            patience: request.deadline.patience(ATTEMPT, self.now),
        };
        if request.attempts > 0 && self.selector.obstacles(&facts).any(|obstacle| obstacle.is_none()) {
            if !self.budget.try_retry(self.now) {
                return self.finish(id, Fate::OverBudget);
            }
            self.thrift.retry(self.now);
        }
        if self.racing > 1 {
            let racers = self.selector.racers(&facts, &ask, self.racing);
            if !racers.is_empty() {
                racers.iter().for_each(|position| self.begin(id, position, false));
                return;
            }
        }
        match self.selector.select(&facts, &ask) {
            Choice::Take { position, fail_open } => {
                self.check_taken(position, fail_open, &facts);
                self.begin(id, position, fail_open);
            }
            Choice::Wait { until, for_slot } => {
                if let Some(until) = until {
                    self.schedule(until.saturating_duration_since(self.now), Event::Wake(id));
                }
                if for_slot {
                    self.waiting_for_slot.push_back(id);
                    let left = ask.patience.saturating_duration_since(self.now);
                    self.schedule(left, Event::Wake(id));
                }
            }
            Choice::Nobody { .. } => self.finish(id, Fate::Failed),
        }
    }

    fn check_taken(&self, position: usize, fail_open: bool, facts: &[Facts]) {
        let obstacles: Vec<Option<Obstacle>> = self.selector.obstacles(facts).collect();
        if fail_open {
            assert_ne!(
                self.kind,
                Kind::OneIsWell,
                "forced though one looks good: {obstacles:?}"
            );
            assert!(obstacles.iter().all(Option::is_some));
        } else {
            assert_eq!(obstacles[position], None);
        }
    }

    fn begin(&mut self, id: u64, position: usize, fail_open: bool) {
        let request = self.requests.get_mut(&id).unwrap();
        let upstream = &self.route[position];
        assert!(upstream.member.weight > 0.0, "a drained upstream is used");
        assert!(
            !request.tried.contains(&upstream.id),
            "an upstream is asked twice"
        );
        if request.attempts == 0 {
            *self.first_attempts.entry(upstream.id).or_default() += 1;
        }
        request.tried.push(upstream.id);
        request.attempts += 1;
        request.out += 1;
        let (ending, after) = upstream.node.borrow().asked(request.question, &mut self.dice);
        let ends = request.deadline.attempt_ends(self.now).unwrap();
        let left = ends - self.now;
        let attempt = Attempt {
            request: id,
            question: request.question,
            endpoint: Rc::clone(&upstream.endpoint),
            holds: upstream.endpoint.borrow_mut().begin(fail_open, self.now),
            // No answer in time.
            ending: if after < left { ending } else { Ending::Failure },
        };
        self.next_id += 1;
        let number = self.next_id;
        self.attempts.insert(number, attempt);
        self.schedule(after.min(left), Event::End(number));
    }

    fn end(&mut self, number: u64) {
        let Some(attempt) = self.attempts.remove(&number) else {
            return;
        };
        let Attempt {
            request,
            question,
            endpoint,
            holds,
            ending,
        } = attempt;
        endpoint
            .borrow_mut()
            .settle(holds, question, Some(ending), self.now);
        self.requests.get_mut(&request).unwrap().out -= 1;
        if ending == Ending::Answer {
            self.finish(request, Fate::Answered);
        } else {
            self.step(request);
        }
        self.wake_those_who_wait();
    }

    /// Ends a request and whatever still works for it.
    fn finish(&mut self, id: u64, fate: Fate) {
        let Some(request) = self.requests.remove(&id) else {
            return;
        };
        let left: Vec<u64> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| attempt.request == id)
            .map(|(number, _)| *number)
            .collect();
        for attempt in left.iter().filter_map(|number| self.attempts.remove(number)) {
            attempt
                .endpoint
                .borrow_mut()
                .settle(attempt.holds, attempt.question, None, self.now);
        }
        if self.kind != Kind::AnyMayFail {
            assert_ne!(
                fate,
                Fate::Failed,
                "{request:?} failed though one upstream is well"
            );
        }
        assert!(
            fate != Fate::OverBudget || !self.generous,
            "refused a retry that is paid for"
        );
        self.wake_those_who_wait();
    }

    /// A slot may be free: the first few in the queue look again.
    fn wake_those_who_wait(&mut self) {
        for _ in 0..2 {
            if let Some(request) = self.waiting_for_slot.pop_front() {
                self.schedule(Duration::ZERO, Event::Wake(request));
            }
        }
    }

    /// Scenario 114: within three points.
    fn check_shares(&self) {
        let total: f64 = self.route.iter().map(|upstream| upstream.member.weight).sum();
        for upstream in &self.route {
            let got = self.first_attempts.get(&upstream.id).copied().unwrap_or(0);
            let percent = f64::from(got) * 100.0 / REQUESTS as f64;
            let expected = upstream.member.weight * 100.0 / total;
            assert!((percent - expected).abs() < 3.0, "{percent} %, not {expected} %");
        }
    }
}
