//! Whether members were told the truth of each other.

use std::fmt::Write as _;

use crate::diary::{Page, Picture, Seen, others};

use super::{Kind, Room, Violation, Watch};

/// How many pages are shown before a violation.
const BEFORE: usize = 8;

/// The promises that were broken to the members.
pub(super) fn judge(room: &Room) -> Vec<Violation> {
    let mut violations = Vec::new();
    for watch in &room.watches {
        violations.extend(judge_watch(watch, room));
    }
    for (number, list) in room.lists.iter().enumerate() {
        if *list != room.members {
            let what = format!(
                "broker {number} lists {list:?}, here are {:?}",
                room.members
            );
            violations.push(violation(Kind::WrongMembers, what));
        }
    }
    violations
}

fn judge_watch(watch: &Watch, room: &Room) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut picture = None;
    for (number, page) in watch.pages.iter().enumerate() {
        let wrong = wrong(&page.seen, picture.as_ref());
        let wrong = wrong.filter(|(kind, _)| !room.goes_back || *kind == Kind::Strange);
        if let Some((kind, what)) = wrong {
            let before = &watch.pages[number.saturating_sub(BEFORE)..=number];
            violations.push(violation(kind, told(watch, &what, before)));
        }
        page.seen.change(&mut picture);
    }
    let members = room.members.iter().filter(|name| **name != watch.member);
    let seen = picture.map(|picture| others(&picture, &watch.member));
    let is_right = seen.as_ref().is_some_and(|seen| members.clone().eq(seen));
    if watch.stays && !is_right {
        let members: Vec<_> = members.collect();
        let what = format!("sees {seen:?} at the end, here are {members:?}");
        let last = &watch.pages[watch.pages.len().saturating_sub(BEFORE)..];
        violations.push(violation(Kind::WrongMembers, told(watch, &what, last)));
    }
    violations
}

/// What is wrong with what was told to one who had this picture.
fn wrong(seen: &Seen, picture: Option<&Picture>) -> Option<(Kind, String)> {
    match (seen, picture) {
        (Seen::Strange(what), _) => Some((Kind::Strange, what.clone())),
        (Seen::Joined { .. } | Seen::Left(_), None) => Some((
            Kind::Strange,
            format!("is told of members outside: {seen:?}"),
        )),
        (Seen::Joined { id, name }, Some(picture)) if picture.get(id) == Some(name) => {
            Some((Kind::JoinedTwice, format!("{name} is here already")))
        }
        (Seen::Left(id), Some(picture)) if !picture.contains_key(id) => {
            Some((Kind::LeftTwice, format!("{id} is not here")))
        }
        _ => None,
    }
}

fn told(watch: &Watch, what: &str, pages: &[Page]) -> String {
    let mut text = format!("{} of {}: {what}", watch.name, watch.member);
    for page in pages {
        let _ = write!(text, "\n    {page}");
    }
    text
}

fn violation(kind: Kind, what: String) -> Violation {
    Violation {
        kind,
        what,
        shown_by: None,
    }
}
