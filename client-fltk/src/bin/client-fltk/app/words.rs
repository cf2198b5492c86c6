//! What is said to people: times, names of days, banners.

use chrono::{DateTime, Datelike, Days, Local, NaiveDate, TimeZone};
use client_fltk::command::Failure;
use client_fltk::model::{Delivery, Link, LinkState, Model};

/// Milliseconds since 1970 on the clock of this place; the beginning of time for what no calendar holds.
fn local(ms: u64) -> DateTime<Local> {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    Local.timestamp_millis_opt(ms).single().unwrap_or_else(|| DateTime::UNIX_EPOCH.with_timezone(&Local))
}

fn date(ms: u64) -> NaiveDate {
    local(ms).date_naive()
}

/// `14:02`.
pub(crate) fn clock(ms: u64) -> String {
    local(ms).format("%H:%M").to_string()
}

/// As short as can be, in a list: `14:02`, `Mon`, `3 Nov`, `3 Nov 2024`.
pub(crate) fn short(ms: u64, now_ms: u64) -> String {
    let (then, today) = (date(ms), date(now_ms));
    if then == today {
        clock(ms)
    } else if then > today - Days::new(6) && then < today {
        local(ms).format("%a").to_string()
    } else if then.year() == today.year() {
        local(ms).format("%-d %b").to_string()
    } else {
        local(ms).format("%-d %b %Y").to_string()
    }
}

/// Above the first message of a day: `Today`, `Yesterday`, `Monday`, `3 November`, `3 November 2024`.
pub(crate) fn day(ms: u64, now_ms: u64) -> String {
    let (then, today) = (date(ms), date(now_ms));
    if then == today {
        "Today".to_owned()
    } else if then + Days::new(1) == today {
        "Yesterday".to_owned()
    } else if then > today - Days::new(6) && then < today {
        local(ms).format("%A").to_string()
    } else if then.year() == today.year() {
        local(ms).format("%-d %B").to_string()
    } else {
        local(ms).format("%-d %B %Y").to_string()
    }
}

/// Whether a new day has begun between the two.
pub(crate) fn is_other_day(earlier_ms: u64, later_ms: u64) -> bool {
    date(earlier_ms) != date(later_ms)
}

/// Nothing left out: `Monday, 3 November 2025, 14:02:11`.
pub(crate) fn exact(ms: u64) -> String {
    local(ms).format("%A, %-d %B %Y, %H:%M:%S").to_string()
}

/// Milliseconds until the next day begins, when short times change.
pub(crate) fn until_midnight(now_ms: u64) -> u64 {
    let next = date(now_ms).succ_opt().and_then(|day| day.and_hms_opt(0, 0, 0));
    let next = next.and_then(|time| Local.from_local_datetime(&time).earliest());
    let next = next.and_then(|time| u64::try_from(time.timestamp_millis()).ok());
    next.unwrap_or(0).saturating_sub(now_ms).max(60_000)
}

/// What hovering over a message of one's own says about how far it has come.
pub(crate) fn delivery(delivery: Delivery) -> &'static str {
    match delivery {
        Delivery::Queued => "waits on this device",
        Delivery::Stored => "kept by the servers",
        Delivery::Delivered => "delivered to a device",
        Delivery::Read => "read",
    }
}

/// One line above the messages while something is not as it should be.
pub(crate) fn banner(link: &Link, now_ms: u64) -> Option<String> {
    match &link.state {
        LinkState::Online if link.stale => {
            Some("Most servers cannot be reached. You can read; messages wait here and are sent once.".to_owned())
        }
        LinkState::Stopped { why } => Some(format!("Not connected: {why}")),
        LinkState::LogInNeeded { why } => {
            Some(format!("{} You can read and write; messages wait here until you do.", sentence(why)))
        }
        LinkState::Online | LinkState::Idle => None,
        LinkState::Connecting { .. } | LinkState::Offline { .. } => {
            // A moment without a connection is no news.
            let outage = link.outage.as_ref().filter(|outage| now_ms.saturating_sub(outage.since_ms) >= GRACE_MS)?;
            let since = short(outage.since_ms, now_ms);
            Some(format!(
                "No connection since {since}, trying all servers. You can read and write; messages wait here and are sent once."
            ))
        }
    }
}

/// When the servers have begun another history.
pub(crate) const SET_ASIDE: &str = "The servers have lost part of what was said. What this device held stays readable: conversations marked “kept here”.";

/// How long a connection may be gone before anybody is told, milliseconds: an election takes a fraction of it.
pub(crate) const GRACE_MS: u64 = 1_500;

/// Under one's own name: where one is connected to, and how well.
pub(crate) fn status(model: &Model) -> String {
    let link = &model.link;
    let host = if link.node.is_empty() { link.address.as_str() } else { link.node.as_str() };
    match &link.state {
        LinkState::Online if link.stale => format!("{host} · no majority"),
        LinkState::Online => match model.nodes.len() {
            0 | 1 => format!("connected to {host}"),
            nodes => format!("{host} · {nodes} servers"),
        },
        LinkState::Connecting { .. } => "connecting…".to_owned(),
        LinkState::Offline { .. } | LinkState::Stopped { .. } => "no connection".to_owned(),
        LinkState::Idle | LinkState::LogInNeeded { .. } => "not logged in".to_owned(),
    }
}

/// Under the entry form: which server it is for. `wanted`: the one that was named last, if there is none yet.
pub(crate) fn server(link: &Link, wanted: &str) -> String {
    let address = if link.address.is_empty() { wanted } else { link.address.as_str() };
    match &link.state {
        LinkState::Connecting { address } => format!("connecting to {address}…"),
        LinkState::Idle | LinkState::Offline { .. } | LinkState::Stopped { .. } => address.to_owned(),
        // How it is protected is not told before there is a session.
        _ if link.address.is_empty() => address.to_owned(),
        _ if link.encrypted => format!("{address} · verified"),
        _ => format!("{address} · not encrypted"),
    }
}

/// A failure as a sentence.
pub(crate) fn failure(failure: &Failure) -> String {
    sentence(&failure.to_string())
}

/// With a capital letter and a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let mut chars = text.trim().chars();
    let Some(first) = chars.next() else { return String::new() };
    let mut sentence: String = first.to_uppercase().chain(chars).collect();
    if !sentence.ends_with(['.', '!', '?', '…']) {
        sentence.push('.');
    }
    sentence
}

/// `1 message`, `2 messages`.
pub(crate) fn count(count: u64, thing: &str) -> String {
    if count == 1 { format!("1 {thing}") } else { format!("{count} {thing}s") }
}

/// The letter in somebody's circle.
pub(crate) fn initial(name: &str) -> String {
    let letter = name.chars().find(|c| c.is_alphanumeric()).or_else(|| name.chars().next());
    letter.map_or_else(String::new, |letter| letter.to_uppercase().collect())
}

/// Text on one line, cut where nobody reads on.
pub(crate) fn one_line(text: &str) -> String {
    const CHARS: usize = 160;
    text.split_whitespace()
        .flat_map(|word| [word, " "])
        .flat_map(str::chars)
        .take(CHARS)
        .collect::<String>()
        .trim_end()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> u64 {
        let time = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap();
        u64::try_from(Local.from_local_datetime(&time).unwrap().timestamp_millis()).unwrap()
    }

    #[test]
    fn times_are_as_short_as_can_be() {
        let now = at("2026-11-27 14:05:00");
        let cases = [
            ("2026-11-27 14:02:11", "14:02", "Today"),
            ("2026-11-26 23:59:00", "Thu", "Yesterday"),
            ("2026-11-23 08:00:00", "Mon", "Monday"),
            ("2026-11-03 08:00:00", "3 Nov", "3 November"),
            ("2025-11-03 08:00:00", "3 Nov 2025", "3 November 2025"),
            // Another device's clock is ahead.
            ("2026-11-28 08:00:00", "28 Nov", "28 November"),
        ];
        for (time, in_list, above) in cases {
            assert_eq!((short(at(time), now), day(at(time), now)), (in_list.to_owned(), above.to_owned()), "{time}");
        }
        assert_eq!(exact(at("2026-11-27 14:02:11")), "Friday, 27 November 2026, 14:02:11");
        assert!(is_other_day(at("2026-11-26 23:59:59"), at("2026-11-27 00:00:00")));
        assert_eq!(until_midnight(now), (9 * 60 + 55) * 60_000);
        assert_eq!(short(u64::MAX, now), "1 Jan 1970");
    }

    #[test]
    fn a_banner_says_what_still_works_and_only_when_it_matters() {
        use client_fltk::model::Outage;
        let offline = LinkState::Offline { retry_ms: 0 };
        let connecting = LinkState::Connecting { address: "10.0.0.5:5555".to_owned() };
        let link = |state, since_ms: Option<u64>| {
            let outage = since_ms.map(|since_ms| Outage { since_ms, why: "refused".to_owned() });
            Link { state, outage, ..Link::default() }
        };
        assert_eq!(banner(&link(LinkState::Online, None), 12_000), None);
        assert_eq!(banner(&link(connecting.clone(), None), 12_000), None);
        // The same while one server is tried after the other: who waits sees nothing flicker.
        for state in [offline, connecting] {
            assert_eq!(banner(&link(state.clone(), Some(10_000)), 11_000), None);
            let told = banner(&link(state, Some(10_000)), 12_000).unwrap();
            assert!(told.contains("You can read and write"), "{told}");
        }
        let logged_out = link(LinkState::LogInNeeded { why: "logged out elsewhere: log in again".to_owned() }, None);
        assert!(banner(&logged_out, 0).unwrap().starts_with("Logged out elsewhere: log in again. You can read"));
        let stale = Link { stale: true, ..link(LinkState::Online, None) };
        assert!(banner(&stale, 0).unwrap().contains("You can read"));
    }

    #[test]
    fn small_words() {
        assert_eq!(sentence("the name is taken"), "The name is taken.");
        assert_eq!((sentence(""), sentence("Why?")), (String::new(), "Why?".to_owned()));
        assert_eq!((count(1, "message"), count(0, "message")), ("1 message".to_owned(), "0 messages".to_owned()));
        assert_eq!(
            (initial("sam"), initial("@élan"), initial(""), initial("🎉")),
            ("S".into(), "É".into(), String::new(), "🎉".into())
        );
        assert_eq!(one_line(" a\n\nb  c "), "a b c");
        assert_eq!(one_line(&"x".repeat(500)).len(), 160);
    }
}
