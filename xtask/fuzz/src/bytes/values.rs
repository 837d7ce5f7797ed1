//! Values to fuzz with: of all that serde tells apart, and nested in every way.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::Random;
use crate::made::{Account, Place};

/// Recurses in every way there is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Wild {
    doubled: Option<Option<Box<Wild>>>,
    list: Vec<Wild>,
    looped: Loop,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Loop(Option<Box<Loop>>);

pub(super) fn any_wild(random: &mut Random) -> Wild {
    wild(random, 4)
}

fn wild(random: &mut Random, depth: usize) -> Wild {
    let deeper = depth.saturating_sub(1);
    let doubled = match random.below(3) {
        0 => None,
        _ if depth == 0 => Some(None),
        _ => Some(Some(Box::new(wild(random, deeper)))),
    };
    let list = (0..random.below(depth + 1) / 2).map(|_| wild(random, deeper)).collect();
    let looped = (0..random.below(2)).fold(Loop(None), |inner, _| Loop(Some(Box::new(inner))));
    Wild { doubled, list, looped: if random.one_in(2) { Loop(None) } else { looped } }
}

pub(super) fn any_account(random: &mut Random) -> Account {
    Account {
        id: random.next() >> random.below(64),
        name: random.text(400),
        note: [None, Some(None), Some(Some(random.text(20)))][random.below(3)].clone(),
        seen: [None, Some(())][random.below(2)],
        scores: (0..random.length(200)).map(|_| i32::from(random.byte()) - 100).collect(),
        places: (0..random.below(3)).map(|_| any_place(random)).collect(),
        by_day: (0..random.below(3)).map(|_| (u16::from(random.byte()), any_day(random))).collect(),
        ratio: f64::from(random.byte()) / 7.0,
        wide: (i128::from(random.next()) << random.below(64), u128::from(random.next()) << random.below(64)),
        mark: char::from(random.byte()),
        kept: random.one_in(4).then(|| Box::new(any_account(random))),
    }
}

fn any_day(random: &mut Random) -> Option<Vec<u8>> {
    random.one_in(2).then(|| vec![random.byte()])
}

fn any_place(random: &mut Random) -> Place {
    match random.below(4) {
        0 => Place::Nowhere,
        1 => Place::Street(random.text(40)),
        2 => Place::Point(f32::from(random.byte()), 0.1),
        _ => Place::Room { floor: -3, door: random.one_in(2).then(|| random.byte()) },
    }
}

pub(super) fn any_json(random: &mut Random) -> serde_json::Value {
    json(random, 4)
}

fn json(random: &mut Random, depth: usize) -> serde_json::Value {
    match random.below(if depth == 0 { 4 } else { 6 }) {
        0 => serde_json::Value::Null,
        1 => random.next().into(),
        2 => (f64::from(random.byte()) / 3.0).into(),
        3 => random.text(40).into(),
        4 => (0..random.below(4)).map(|_| json(random, depth - 1)).collect(),
        _ => (0..random.below(4)).map(|_| (random.text(40), json(random, depth - 1))).collect(),
    }
}

pub(super) fn any_bytes(random: &mut Random) -> Bytes {
    random.bytes(100_000).into()
}
