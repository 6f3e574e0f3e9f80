//! Carries out a plan: the brokers, a network for each client, faults until the time is up, then calm until everybody has
//! caught up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use widecast_tests::broker::Answer;
use widecast_tests::{Endpoint, Published, eventually};

use crate::brokers::Brokers;
use crate::catalog::Catalog;
use crate::diary::Diary;
use crate::judge::{Case, Room, Testimony, Watch};
use crate::log::Log;
use crate::payload::Form;
use crate::place::Place;
use crate::plan::Plan;
use crate::proxy::Proxy;
use crate::proxy::fault::Weather;
use crate::publisher::{Author, Publisher, Rhythm, Subject};
use crate::seed::generator;
use crate::subscriber::{Spec, Subscriber};
use crate::visitor::{Visit, Visitor};

/// How long everybody may take to catch up when all is calm.
const CATCHING_UP: Duration = Duration::from_secs(30);

/// What a run came to.
pub struct Outcome {
    /// What is to be judged.
    pub case: Case,
    /// What the brokers have logged.
    pub broker_log: String,
}

struct Stage<'a> {
    plan: &'a Plan,
    brokers: Brokers,
    began: Instant,
    calm: watch::Sender<bool>,
    catalog: Arc<Catalog>,
    subscribers: Vec<(Spec, Arc<Log>)>,
    visitors: Vec<(Visit, Arc<Diary>)>,
    /// The members that each broker lists at the end.
    lists: Vec<Vec<String>>,
    /// They fail as long as they are kept.
    network: Vec<Proxy>,
    subscribing: JoinSet<()>,
    publishing: JoinSet<()>,
}

/// Carries out a plan.
///
/// # Errors
/// When the broker cannot be started, or does not go on: then nothing can be judged.
pub async fn perform(plan: &Plan) -> Result<Outcome> {
    let calm = watch::Sender::new(false);
    let mut stage = Stage {
        plan,
        brokers: Brokers::start(plan, &calm).await?,
        began: Instant::now(),
        calm,
        catalog: Arc::default(),
        subscribers: Vec::new(),
        visitors: Vec::new(),
        lists: Vec::new(),
        network: Vec::new(),
        subscribing: JoinSet::new(),
        publishing: JoinSet::new(),
    };
    let performed = stage.perform().await;
    let broker_log = stage.brokers.log();
    let ends = performed.with_context(|| broker_log.clone())?;
    Ok(Outcome {
        case: stage.case(ends),
        broker_log,
    })
}

impl Stage<'_> {
    /// Gives the last message of each channel.
    async fn perform(&mut self) -> Result<BTreeMap<String, Place>> {
        for (spec, weather) in &self.plan.subscribers {
            self.subscribe(spec, *weather).await?;
        }
        for (kind, subject, weather) in &self.plan.publishers {
            let random = generator(self.plan.seed, &subject.name);
            let author = Author::new(subject.clone(), Arc::clone(&self.catalog), random);
            let publisher = Publisher {
                kind: *kind,
                endpoint: self.endpoint(&subject.name, *weather).await?,
                author,
                calm: self.calm.subscribe(),
            };
            self.publishing.spawn(publisher.run());
        }
        for (visit, weather) in &self.plan.visitors {
            self.visit(visit, *weather).await?;
        }
        for &disturbance in &self.plan.disturbances {
            self.brokers.disturb(self.began, disturbance);
        }
        for &event in &self.plan.events {
            sleep_until(self.began + event.at).await;
            self.brokers.suffer(event).await?;
        }
        sleep_until(self.began + self.plan.time).await;
        self.calm.send_replace(true);
        while self.publishing.join_next().await.is_some() {}
        self.brokers.are_ready().await?;
        let ends = self.publish_ends().await?;
        self.wait_for(&ends).await;
        self.subscribing.shutdown().await;
        self.brokers.check_alive().await?;
        Ok(ends)
    }

    async fn subscribe(&mut self, spec: &Spec, weather: Weather) -> Result<()> {
        let log = Arc::new(Log::new(self.began));
        let subscriber = Subscriber {
            endpoint: self.endpoint(&spec.name, weather).await?,
            spec: spec.clone(),
            log: Arc::clone(&log),
            catalog: Arc::clone(&self.catalog),
            random: generator(self.plan.seed, &format!("{} itself", spec.name)),
            calm: self.calm.subscribe(),
        };
        self.subscribing.spawn(subscriber.run());
        self.subscribers.push((spec.clone(), log));
        Ok(())
    }

    async fn visit(&mut self, visit: &Visit, weather: Weather) -> Result<()> {
        let diary = Arc::new(Diary::new(self.began));
        let visitor = Visitor {
            endpoint: self.endpoint(&visit.name, weather).await?,
            visit: visit.clone(),
            diary: Arc::clone(&diary),
            random: generator(self.plan.seed, &format!("{} itself", visit.name)),
            calm: self.calm.subscribe(),
        };
        self.subscribing.spawn(visitor.run());
        self.visitors.push((visit.clone(), diary));
        Ok(())
    }

    /// A client's own way to the brokers.
    async fn endpoint(&mut self, name: &str, weather: Weather) -> Result<Endpoint> {
        let random = generator(self.plan.seed, &format!("the network of {name}"));
        let brokers = self.brokers.addresses();
        let proxy = Proxy::to(brokers, weather, random, self.calm.subscribe()).await?;
        let base = proxy.base();
        self.network.push(proxy);
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Endpoint { http, base })
    }

    /// Publishes one more message on each channel, for everybody to wait for, and waits until all brokers know of all of them. Some may
    /// notice only now what has happened to a connection before, or that another server has taken over, which has its own epochs.
    async fn publish_ends(&self) -> Result<BTreeMap<String, Place>> {
        let channels = self.plan.channels.iter().enumerate();
        let authors = channels.map(|(number, channel)| self.author_of_end(number, channel));
        let mut authors: Vec<_> = authors.collect();
        let mut ends: BTreeMap<String, Place> = BTreeMap::new();
        eventually("the ends of the channels are published", async || {
            let mut all_know = true;
            for (number, channel) in self.plan.channels.iter().enumerate() {
                let found = self.brokers.ends_of(channel).await;
                let holds = |check: fn(&Place, &Place) -> bool| {
                    let both = found.as_ref().zip(ends.get(channel));
                    both.is_some_and(|(found, end)| found.iter().all(|it| check(it, end)))
                };
                if holds(Place::reaches) {
                    continue;
                }
                all_know = false;
                if !ends.contains_key(channel) || holds(|it, end| it.epoch != end.epoch) {
                    let author = &mut authors[number];
                    let place = self.publish_end(author, number, channel).await?;
                    ends.extend(place.map(|place| (channel.clone(), place)));
                }
            }
            Ok(all_know)
        })
        .await?;
        Ok(ends)
    }

    fn author_of_end(&self, number: usize, channel: &str) -> Author {
        let subject = Subject {
            name: format!("end{number}"),
            channels: vec![channel.to_owned()],
            sender: None,
            rhythm: Rhythm::default(),
            keyed: 0,
        };
        let random = generator(self.plan.seed, &subject.name);
        Author::new(subject, Arc::clone(&self.catalog), random)
    }

    /// Publishes a message, unless the engine cannot be reached just now.
    async fn publish_end(
        &self,
        author: &mut Author,
        number: usize,
        channel: &str,
    ) -> Result<Option<Place>> {
        let publication = author.write(Form::Text, false);
        let attempt = publication.attempt("end");
        let body = Form::Text.body(&publication.data)?;
        let request = self.brokers.publisher(number).request(channel, &[])?;
        let request = request.header("content-type", Form::Text.content_type());
        let sent = timeout(CATCHING_UP, request.body(body).send()).await??;
        let answer = Answer::read(sent).await?;
        if answer.body["code"] == "engine_unavailable" {
            publication.refused(&answer.body);
            return Ok(None);
        }
        let published = Published::from_object(&answer.body)?;
        if published.duplicate {
            bail!("the end of {channel} is a duplicate");
        }
        let place = Place::new(&published.epoch, published.offset);
        publication.accepted(attempt, place.clone(), false);
        Ok(Some(place))
    }

    /// Waits until everybody has come to the ends and knows who is here, or could have.
    async fn wait_for(&mut self, ends: &BTreeMap<String, Place>) {
        let deadline = Instant::now() + CATCHING_UP;
        let members = self.members();
        loop {
            if let Some((visit, _)) = self.plan.visitors.first() {
                self.lists = self.brokers.members(&visit.room).await;
            }
            let is_over = self.lists.iter().all(|list| *list == members)
                && self
                    .visitors
                    .iter()
                    .all(|(visit, diary)| !visit.stays || diary.shows(&members, &visit.member))
                && self.subscribers.iter().all(|them| is_there(them, ends));
            if is_over || Instant::now() > deadline {
                return;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The names of the members that are here at the end, sorted.
    fn members(&self) -> Vec<String> {
        let staying = self.visitors.iter().filter(|(visit, _)| visit.stays);
        let names: BTreeSet<_> = staying.map(|(visit, _)| visit.member.clone()).collect();
        names.into_iter().collect()
    }

    fn room(&mut self) -> Room {
        let members = self.members();
        let watch = |(visit, diary): (Visit, Arc<Diary>)| Watch {
            name: visit.name,
            member: visit.member,
            stays: visit.stays,
            pages: diary.pages(),
        };
        Room {
            goes_back: self.plan.broker.engine.has_replicas(),
            watches: self.visitors.drain(..).map(watch).collect(),
            members,
            lists: std::mem::take(&mut self.lists),
        }
    }

    fn case(mut self, ends: BTreeMap<String, Place>) -> Case {
        let testimony = |(spec, log): (Spec, Arc<Log>)| Testimony {
            name: spec.name,
            sender: spec.sender,
            echo: spec.echo,
            channels: spec.channels,
            entries: log.entries(),
        };
        Case {
            room: self.room(),
            records: self.catalog.records(),
            testimonies: self.subscribers.into_iter().map(testimony).collect(),
            rules: self.plan.rules(),
            ends,
            strange: self.catalog.all_strange(),
            losses: self.brokers.losses(),
            repeats: self.plan.broker.engine.has_servers(),
        }
    }
}

/// Whether a subscriber has come to the ends of its channels.
fn is_there((spec, log): &(Spec, Arc<Log>), ends: &BTreeMap<String, Place>) -> bool {
    let channels = spec.channels.iter();
    let mut ends = channels.filter_map(|channel| ends.get_key_value(channel));
    ends.all(|(channel, end)| log.reaches(channel, end))
}
