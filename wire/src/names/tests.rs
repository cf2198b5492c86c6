use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// The rows of the table in `docs/client.md`: name, beside, is, why.
fn table() -> Vec<[String; 4]> {
    let page = include_str!("../../../docs/client.md");
    let rows = page.lines().skip_while(|line| *line != "| name | beside | is | why |").skip(2);
    rows.take_while(|line| line.starts_with("| "))
        .map(|line| {
            let mut cells =
                line.trim_matches('|').split(" | ").map(|cell| written(cell.trim().trim_matches('|').trim()));
            std::array::from_fn(|_| cells.next().unwrap_or_default())
        })
        .collect()
}

/// What stands in a cell: between backticks, with `\u{..}` for what is not seen.
fn written(cell: &str) -> String {
    let Some(code) = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')) else {
        return if cell == "(empty)" { String::new() } else { cell.to_string() };
    };
    let mut parts = code.split("\\u{");
    let mut name = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let (digits, rest) = part.split_once('}').unwrap();
        name.push(char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap());
        name.push_str(rest);
    }
    name
}

/// What becomes of a new name beside another, as the table says it.
fn verdict(name: &str, beside: &str) -> (&'static str, String) {
    if let Err(error) = check(name) {
        return ("refused", error.to_string());
    }
    let (new, old) = (Keys::of(name), Keys::of(beside));
    let why = if new.fold == old.fold {
        "is found by the same key"
    } else if new.skeleton == old.skeleton {
        "looks the same"
    } else {
        return ("taken", String::new());
    };
    ("refused", why.to_string())
}

#[test]
fn the_table_of_names_holds() {
    let rows = table();
    assert!(rows.len() >= 60, "{} rows", rows.len());
    let wrong = rows.iter().filter_map(|[name, beside, is, why]| {
        let (expected, reason) = verdict(name, beside);
        let holds = expected == is && (expected == "taken" || reason == *why);
        (!holds).then(|| std::format!("{name:?} beside {beside:?}: {is}, {why}; it is {expected}, {reason}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn lengths_count_characters() {
    assert_eq!(check(&"x".repeat(64)), Ok(()));
    assert_eq!(check(&"\u{1f600}".repeat(64)), Ok(()));
    assert_eq!(check(&"x".repeat(65)), Err(NameError::TooLong));
    assert_eq!(check(&"x".repeat(1 << 20)), Err(NameError::TooLong));
}

/// The state holds keys that an earlier build made. Tables that give another key to one of these names give names that exist
/// other keys on the nodes that make them anew: read docs/adr/0023 before this is changed.
#[test]
fn keys_are_what_databases_hold() {
    let check = |name: &str, fold: &str, skeleton: &str, search: &str| {
        let expected = Keys { fold: fold.to_string(), skeleton: skeleton.to_string(), search: search.to_string() };
        assert_eq!(Keys::of(name), expected, "{name}");
    };
    check("Ann", "ann", "ann", "ann");
    check("Zoë  Müller", "zoë müller", "zoë müller", "zoe muller");
    check("İsa", "i̇sa", "lsa", "isa");
    check("Straße", "strasse", "strasse", "strasse");
    check("Łukasz", "łukasz", "l̸ukasz", "lukasz");
    check("Дмитрий", "дмитрий", "дʍᴎᴛpᴎᴎ̆", "дмитрии");
    check("さくら", "さくら", "さ❬ら", "さくら");
    check("한국", "한국", "하\u{1102}구\u{1100}", "한국");
}

proptest! {
    #[test]
    fn a_name_finds_itself_however_it_is_typed(name in "[\\PC ]{1,20}") {
        let fold = found_by(&name);
        prop_assert_eq!(&found_by(&fold), &fold);
        let upper: String = name.to_uppercase();
        if upper.to_lowercase() == name.to_lowercase() && name.is_ascii() {
            prop_assert_eq!(found_by(&upper), fold);
        }
        let typed: String = name.nfd().collect();
        prop_assert_eq!(found_by(&typed), found_by(&name));
        prop_assert_eq!(search_key(&search_key(&name)), search_key(&name));
        if !name.contains(['*', '?']) {
            prop_assert!(Pattern::parse(&name).matches(&name));
        }
    }

    #[test]
    fn no_text_is_too_odd_to_be_judged(name in "\\PC{0,70}|.{0,70}") {
        let _ = check(&name);
        let _ = Keys::of(&name);
    }
}
