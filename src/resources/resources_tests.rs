//! The bag against a naive one, and the odd kinds.

use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::proto::Spelling;
use crate::proto::json::from_json_array;
use crate::resources::parse;

fn bag(text: &str) -> Resources {
    parse::parse(text, "*").unwrap()
}

fn from_json(json: &str) -> Resources {
    let messages: Vec<proto::Resource> = from_json_array(json.as_bytes(), Spelling::V1).unwrap();
    Resources::from_protos(&messages).unwrap()
}

fn volume(id: &str, rest: &str) -> String {
    format!(
        r#"{{"name":"disk","type":"SCALAR","scalar":{{"value":64}},"role":"web","reservation":{{}},
            "disk":{{"persistence":{{"id":"{id}"}},"volume":{{"container_path":"p","mode":"RW"}}}}{rest}}}"#
    )
}

#[test]
fn amounts_of_a_kind_add_up() {
    let mut own = bag("cpus:1;mem:64;ports:[1-5]");
    own += &bag("cpus:0.1;cpus(web):2;ports:[6-7];zones:{a}");
    assert_eq!(
        own.to_string(),
        "cpus:1.1; cpus(reservations: [(STATIC,web)]):2; mem:64; ports:[1-7]; zones:{a}"
    );
    assert_eq!((own.cpus(), own.mem(), own.disk(), own.scalar("x")), (3100, 64_000, 0, None));
    assert_eq!(own.quantities().to_string(), "cpus:3.1; mem:64");
    assert_eq!(
        own.names().map(|name| name.to_string()).collect::<Vec<_>>(),
        ["cpus", "mem", "ports", "zones"]
    );
    assert!(own.contains(&bag("cpus:1.1;ports:[2-3]")) && !own.contains(&bag("cpus:1.2")));
    assert!(!own.take(&bag("cpus:1;mem:65")) && own.take(&bag("mem:64;ports:[1-6]")));
    assert_eq!(own.unreserved().to_string(), "cpus:1.1; ports:[7-7]; zones:{a}");
    assert_eq!(own.reserved_for("web").to_string(), "cpus(reservations: [(STATIC,web)]):2");
    assert_eq!(own.allocatable_to("web/x"), own);
    assert_eq!(own.allocatable_to("db"), own.unreserved());
    assert_eq!(own.reservations()["web"].cpus(), 2000);
    assert_eq!(own.to_unreserved().to_string(), "cpus:3.1; ports:[7-7]; zones:{a}");
}

#[test]
fn allocation_is_part_of_the_kind() {
    let (web, db) = (Role::from("web"), Role::from("db"));
    let mut one = bag("cpus:1;mem:64");
    one.allocate(&web);
    let mut two = bag("cpus:2");
    two.allocate(&db);
    assert!(!one.contains(&bag("cpus:1")));
    one += &two;
    assert_eq!(one.to_string(), "cpus(allocated: db):2; cpus(allocated: web):1; mem(allocated: web):64");
    assert_eq!(one.allocations()[&db], two);
    one.unallocate();
    assert_eq!(one, bag("cpus:3;mem:64"));
    one.allocate(&web);
    assert_eq!(one.iter().next().and_then(Entry::allocation), Some(&web));
}

#[test]
fn messages_keep_all_that_came() {
    let json = format!(
        r#"[{},{{"name":"cpus","type":"SCALAR","scalar":{{"value":1.0}},"provider_id":{{"value":"p"}},
            "allocation_info":{{"role":"web"}},"revocable":{{}}}}]"#,
        volume("v", "")
    );
    let own = from_json(&json);
    assert_eq!(own.to_string(), "cpus(allocated: web){REV}:1; disk(reservations: [(DYNAMIC,web)])[v]:64");
    let again = Resources::from_protos(&own.to_protos()).unwrap();
    assert_eq!((&again, again.to_protos()), (&own, own.to_protos()));
    let disk = own.iter().find(|entry| entry.is_persistent_volume()).and_then(Entry::disk).unwrap();
    assert_eq!(disk.volume.as_ref().unwrap().container_path, "p");
    let old = own.to_old_protos().unwrap();
    assert!(old.iter().all(|resource| resource.role.is_some() && resource.reservations.is_empty()));
    assert_eq!(Resources::from_protos(&old).unwrap(), own);
    assert_eq!(own.non_revocable().len(), 1);
}

#[test]
fn volumes_are_taken_whole() {
    let mut own = from_json(&format!("[{},{}]", volume("a", ""), volume("b", "")));
    assert_eq!(own.len(), 2);
    let mut smaller = from_json(&format!("[{}]", volume("a", "").replace("64", "32")));
    assert!(!own.contains(&smaller));
    smaller = from_json(&format!("[{}]", volume("a", "").replace("\"p\"", "\"elsewhere\"")));
    assert!(own.contains(&smaller), "where it is mounted does not matter");
    assert!(own.take(&smaller) && !own.contains(&smaller));
    assert_eq!(own.len(), 1);
    // The same volume twice is not contained in it once.
    let twice = from_json(&format!("[{},{}]", volume("b", ""), volume("b", "")));
    assert_eq!(twice.len(), 2);
    assert!(!own.contains(&twice) && twice.contains(&own));
}

#[test]
fn shared_volumes_are_counted() {
    let one = from_json(&format!("[{}]", volume("a", r#","shared":{}"#)));
    let mut own = one.clone();
    own += &one;
    assert_eq!((own.len(), own.to_protos().len()), (1, 2));
    assert!(own.contains(&one) && !one.contains(&own));
    own -= &one;
    assert_eq!(own, one);
    own -= &one;
    assert!(own.is_empty());
}

#[test]
fn reservations_are_stacked() {
    let dynamic = |role: &str| {
        let mut reservation = ReservationInfo { role: Some(role.into()), ..ReservationInfo::default() };
        reservation.set_type(proto::resource::reservation_info::Type::Dynamic);
        reservation
    };
    let own = bag("cpus:1;cpus(web):2");
    let reserved = own.unreserved().push_reservation(&dynamic("web")).push_reservation(&dynamic("web/a"));
    assert_eq!(reserved.to_string(), "cpus(reservations: [(DYNAMIC,web),(DYNAMIC,web/a)]):1");
    assert!(reserved.to_old_protos().is_err());
    assert_eq!(reserved.pop_reservation().pop_reservation(), bag("cpus:1"));
    assert_eq!(reserved.to_unreserved(), bag("cpus:1"));
}

#[test]
fn wrong_resources_are_named() {
    let message = proto::Resource { name: "cpus".into(), ..proto::Resource::default() };
    let error = Resources::from_protos(&[message]).unwrap_err();
    assert_eq!(error.0, "Resource 'cpus:' is invalid: Invalid scalar resource");
}

/// Scalars of few names and roles in a plain map, with floors at zero.
type Naive = BTreeMap<(String, Option<String>), i64>;

fn naive(resources: &Resources) -> Naive {
    let entry = |entry: &Entry| {
        let key = (entry.name().to_string(), entry.reservation_role().map(str::to_owned));
        (key, entry.scalar().unwrap())
    };
    resources.iter().map(entry).collect()
}

#[test]
fn it_behaves_like_a_map_of_amounts() {
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    for round in 0..2_000 {
        let most = if round % 2 == 0 { 6 } else { 40 };
        let mut random = || {
            let tokens: Vec<_> = (0..rng.random_range(0..most))
                .map(|_| {
                    let role = ["*", "web", "db"][rng.random_range(0..3)];
                    let amount = f64::from(rng.random_range(1..5_000)) / 1000.0;
                    format!("r{}({role}):{amount}", rng.random_range(0..15))
                })
                .collect();
            bag(&tokens.join(";"))
        };
        let (left, right) = (random(), random());
        let mut sum = left.clone();
        sum += &right;
        let mut expected = naive(&left);
        for (key, amount) in naive(&right) {
            *expected.entry(key).or_default() += amount;
        }
        assert_eq!(naive(&sum), expected);
        assert!(sum.contains(&left) && sum.contains(&right));
        let mut back = sum.clone();
        assert!(back.take(&right));
        assert_eq!(back, left, "adding and taking away gives back");

        let mut rest = left.clone();
        rest -= &right;
        let mut expected = naive(&left);
        for (key, amount) in naive(&right) {
            expected.entry(key).and_modify(|own| *own -= amount);
        }
        expected.retain(|_, amount| *amount > 0);
        assert_eq!(naive(&rest), expected);
        let (ours, theirs) = (naive(&left), naive(&right));
        let contains = theirs.iter().all(|(key, amount)| ours.get(key).is_some_and(|own| own >= amount));
        assert_eq!(left.contains(&right), contains);
    }
}

#[test]
fn a_hundred_thousand_kinds_are_no_trouble() {
    let scalar = |name: String| proto::Resource {
        name,
        scalar: Some(proto::value::Scalar { value: 1.0 }),
        ..proto::Resource::default()
    };
    let many: Vec<_> = (0..100_000).map(|index| scalar(format!("r{index}"))).collect();
    let many = Resources::from_protos(&many).unwrap();
    let mut own = many.clone();
    own += &many;
    assert!(own.contains(&many) && own.take(&many));
    assert_eq!(own, many);
    // The same ports in many pieces.
    let ports = |index: u64| proto::Resource {
        name: "ports".into(),
        r#type: proto::value::Type::Ranges as i32,
        ranges: Some(proto::value::Ranges {
            range: vec![proto::value::Range { begin: 2 * index, end: 2 * index }],
        }),
        ..proto::Resource::default()
    };
    let pieces: Vec<_> = (0..100_000).map(ports).collect();
    assert_eq!(Resources::from_protos(&pieces).unwrap().ports().count(), 100_000);
}
