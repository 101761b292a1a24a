use rand::SeedableRng;

use super::*;

/// A sorter over 100 thousandths-free units of one kind, with these clients active.
fn sorter(policy: Policy, paths: &[&str]) -> Sorter {
    let mut sorter = Sorter::new(policy, BTreeSet::new());
    for (number, path) in paths.iter().enumerate() {
        sorter.add(path, number as u32);
        sorter.set_active(path, true);
    }
    sorter.refresh(&Total { amounts: amounts(&[100, 100]), version: 1 });
    sorter
}

fn amounts(of_kinds: &[i64]) -> Amounts {
    let mut amounts = Amounts::default();
    for (kind, &by) in of_kinds.iter().enumerate() {
        amounts.bump(kind, by);
    }
    amounts
}

fn order(sorter: &mut Sorter) -> Vec<u32> {
    sorter.turns(&mut Dice::seed_from_u64(1)).collect()
}

#[test]
fn smallest_dominant_share_comes_first() {
    let mut s = sorter(Policy::Drf, &["a", "b", "c"]);
    assert_eq!(order(&mut s), [0, 1, 2]);
    s.allocated("a", &amounts(&[5, 5]));
    s.allocated("b", &amounts(&[1, 6]));
    assert_eq!(order(&mut s), [2, 0, 1]);
    s.unallocated("b", &amounts(&[0, 2]));
    assert_eq!(order(&mut s), [2, 1, 0]);
    s.set_weight("a", 2 * ONE);
    assert_eq!(order(&mut s), [2, 0, 1]);
    s.refresh(&Total { amounts: amounts(&[10, 100]), version: 2 });
    assert_eq!(order(&mut s), [2, 1, 0]);
}

#[test]
fn equal_shares_take_turns() {
    let mut s = sorter(Policy::Drf, &["a", "b"]);
    for expected in [[0, 1], [1, 0], [0, 1], [1, 0]] {
        assert_eq!(order(&mut s), expected);
        let first = ["a", "b"][expected[0] as usize];
        s.allocated(first, &amounts(&[7]));
        s.unallocated(first, &amounts(&[7]));
    }
}

#[test]
fn inactive_clients_have_no_turn() {
    let mut s = sorter(Policy::Drf, &["a", "b"]);
    assert!(s.set_active("a", false) && !s.set_active("a", false));
    assert_eq!(order(&mut s), [1]);
    s.set_active("b", false);
    assert!(!s.has_active());
    s.allocated("a", &amounts(&[1]));
    s.set_active("a", true);
    s.set_active("b", true);
    assert_eq!(order(&mut s), [1, 0]);
    assert!(!s.set_active("nobody", true));
}

#[test]
fn excluded_kinds_do_not_count() {
    let mut s = Sorter::new(Policy::Drf, BTreeSet::from([1]));
    s.add("a", 0);
    s.add("b", 1);
    s.set_active("a", true);
    s.set_active("b", true);
    s.refresh(&Total { amounts: amounts(&[100, 100]), version: 1 });
    s.allocated("a", &amounts(&[1, 90]));
    s.allocated("b", &amounts(&[2, 0]));
    assert_eq!(order(&mut s), [0, 1]);
}

#[test]
fn a_subtree_has_one_share_among_its_siblings() {
    let mut s = sorter(Policy::Drf, &["a", "a/x", "b", "a/y"]);
    assert_eq!(order(&mut s), [0, 1, 3, 2]);
    s.allocated("a/x", &amounts(&[5]));
    // `a` as a whole holds more than `b`, and within it `a` itself and `a/y` hold nothing.
    assert_eq!(order(&mut s), [2, 0, 3, 1]);
    assert_eq!(s.turns_of(&["a/x", "a", "b"], &mut Dice::seed_from_u64(1)), [2, 0, 1]);
    s.set_weight("a", 10 * ONE);
    s.allocated("b", &amounts(&[1]));
    assert_eq!(order(&mut s), [0, 3, 1, 2]);
    s.remove("a/x");
    s.remove("a/y");
    assert_eq!(order(&mut s), [0, 2]);
    assert_eq!(s.held("a"), Some(&amounts(&[])));
    s.allocated("a", &amounts(&[30]));
    assert_eq!(order(&mut s), [2, 0]);
    s.add("a/z", 7);
    s.set_active("a/z", true);
    assert_eq!(order(&mut s), [2, 7, 0]);
    for path in ["a", "b", "a/z"] {
        s.remove(path);
    }
    assert!(!s.has_active());
    assert_eq!(s.nodes[ROOT as usize].amounts, Amounts::default());
}

#[test]
fn chance_follows_weights() {
    let mut s = sorter(Policy::Random, &["a", "b", "t/x", "t/y", "off"]);
    s.set_active("off", false);
    s.set_weight("a", 2 * ONE);
    let mut dice = Dice::seed_from_u64(7);
    let mut first = [0i32; 5];
    for _ in 0..4000 {
        let order: Vec<u32> = s.turns(&mut dice).collect();
        assert_eq!(order.len(), 4);
        first[order[0] as usize] += 1;
    }
    // a: 2/4, b: 1/4, x and y: half of 1/4 each.
    for (client, expected) in [2000, 1000, 500, 500, 0].into_iter().enumerate() {
        assert!((first[client] - expected).abs() <= expected / 8, "{first:?}");
    }
    let again = |seed| -> Vec<Vec<u32>> {
        let (mut s, mut dice) = (s.clone(), Dice::seed_from_u64(seed));
        (0..20).map(|_| s.turns(&mut dice).collect()).collect()
    };
    assert_eq!(again(3), again(3));
    assert_ne!(again(3), again(4));
    assert_eq!(s.turns_of(&["b", "off"], &mut dice), [1]);
    assert_eq!(s.turns_of(&["b", "t/x", "a"], &mut dice).len(), 3);
}

/// Against the plain rule: shares computed and sorted anew each time.
#[test]
fn kept_order_equals_sorting_anew() {
    use rand::RngExt;
    let mut dice = Dice::seed_from_u64(11);
    let paths: Vec<String> = (0..30).map(|n| format!("c{n:02}")).collect();
    let names: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut s = sorter(Policy::Drf, &names);
    let mut held = vec![(0i64, 0i64, 0u64); 30];
    for step in 0..2000 {
        let client = dice.random_range(0..30usize);
        let (x, y) = (dice.random_range(0..4i64), dice.random_range(0..4i64));
        let (a, b, count) = &mut held[client];
        if dice.random_range(0..2) == 0 {
            s.allocated(names[client], &amounts(&[x, y]));
            (*a, *b, *count) = (*a + x, *b + y, *count + 1);
        } else {
            s.unallocated(names[client], &amounts(&[x, y]));
            (*a, *b) = ((*a - x).max(0), (*b - y).max(0));
            // The root's sum may differ where more was given back than held, but no share does.
        }
        if step % 100 == 0 {
            let total = amounts(&[dice.random_range(50..150i64), 100]);
            s.refresh(&Total { amounts: total, version: step + 2 });
        }
        let whole = (s.total.amounts.get(0), s.total.amounts.get(1));
        let mut expected: Vec<u32> = (0..30).collect();
        expected.sort_by_key(|&n| {
            let (a, b, count) = held[n as usize];
            ((a * whole.1).max(b * whole.0), count, n)
        });
        assert_eq!(order(&mut s), expected, "step {step}");
    }
}
