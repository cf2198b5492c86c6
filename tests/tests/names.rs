//! Names and passwords on real servers: which are taken, who is found by them, and what becomes of old ones.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use anyhow::bail;
use rusqlite::Connection;
use tests::chat_client::Client;
use tests::cluster::{Cluster, Node};
use tests::legacy_client::{self, password};
use wire::chat::request::{DeleteAccount, Login, Nickname, Password, Send, Signup, Users};
use wire::chat::{Code, Reply, Request};
use wire::codec::Codec;

const CODECS: [Codec; 2] = [Codec::Samira2, Codec::Json2];

/// The code of a refusal, and what it says.
#[track_caller]
fn refused(client: &mut Client, request: Request<'_>) -> (Code, String) {
    let said = client.ask(request, |reply| match reply {
        Reply::Error(error) => Ok((error.code, error.text.to_owned())),
        other => bail!("not refused: {other:?}"),
    });
    said.unwrap()
}

fn login<'a>(username: &'a str, password: &'a str) -> Request<'a> {
    Request::Login(Login { username, password, ..Login::default() })
}

fn signup<'a>(username: &'a str, password: &'a str) -> Request<'a> {
    Request::Signup(Signup { username, password, ..Signup::default() })
}

/// Logs in and returns the name that the server knows.
#[track_caller]
fn logged_in_as(client: &mut Client, name: &str, password: &str) -> String {
    let name = client.ask(login(name, password), |reply| match reply {
        Reply::Session(session) => Ok(session.username.to_owned()),
        other => bail!("to the login: {other:?}"),
    });
    name.unwrap()
}

fn found(client: &mut Client, pattern: &str) -> Vec<String> {
    let users = Request::Users(Users { pattern, ..Users::default() });
    let found = client.ask(users, |reply| match reply {
        Reply::Users(users) => Ok(users.people.iter().map(|person| person.username.to_owned()).collect()),
        other => bail!("to the search: {other:?}"),
    });
    found.unwrap()
}

fn send_to<'a>(user: u64, username: &'a str, seq: u64) -> Request<'a> {
    Request::Send(Send { username, user, text: "hello", seq, ..Send::default() })
}

#[test]
fn a_name_is_one_persons_and_found_however_it_is_typed() {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].address();
    let mut ann = Client::logged_in(address, Codec::Samira2, "Ann").unwrap();
    for codec in CODECS {
        let mut other = Client::connect(address, codec).unwrap();
        for like in ["ann", "ANN", "Ａｎｎ"] {
            assert_eq!(refused(&mut other, signup(like, &password(like))).0, Code::NameTaken, "{like}");
        }
        for bad in ["Ann\u{200d}", "\u{2800}", "#1", "@ann", "Pаul", "\u{e000}"] {
            assert_eq!(refused(&mut other, signup(bad, &password(bad))).0, Code::NameRefused, "{bad:?}");
        }
        assert_eq!(logged_in_as(&mut other, "ANN", &password("Ann")), "Ann");
    }
    let mut bob = Client::logged_in(address, Codec::Json2, "bob").unwrap();
    let seq = ann.take_seq();
    let nickname = Request::Nickname(Nickname { nickname: "Łukasz Müller", seq });
    ann.ask(nickname, |reply| if matches!(reply, Reply::Done(_)) { Ok(()) } else { bail!("{reply:?}") }).unwrap();
    for pattern in ["ANN", "lukasz", "MULLER", "l*müller", "łukasz"] {
        assert_eq!(found(&mut bob, pattern), ["Ann"], "{pattern}");
    }
    assert!(found(&mut bob, "l*mull").is_empty());
    // The conversation with her is one, whatever she is called.
    let open = ["Ann", "ANN", "ann"].map(|name| bob.open(name).unwrap());
    assert_eq!(open, [open[0]; 3]);
    let seq = bob.take_seq();
    let sent = bob.ask(send_to(0, "aNN", seq), |reply| match reply {
        Reply::Sent(sent) => Ok(sent.conversation),
        other => bail!("{other:?}"),
    });
    assert_eq!(sent.unwrap(), open[0]);
    // Clients of the original go by the same rule, in their words.
    let mut legacy = legacy_client::Client::connect(address, Codec::Json).unwrap();
    let refusal = legacy.signup("ANN").unwrap_err().to_string();
    assert!(refusal.contains("Username already taken."), "{refusal}");
}

#[test]
fn a_message_for_an_account_is_not_for_its_names_next_owner() {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].address();
    let mut ann = Client::logged_in(address, Codec::Samira2, "ann").unwrap();
    let mut bob = Client::logged_in(address, Codec::Samira2, "bob").unwrap();
    let delete = DeleteAccount { password: &password("bob"), confirm: true };
    bob.ask(Request::DeleteAccount(delete), |_| Ok(())).unwrap();
    let mut next = Client::connect(address, Codec::Json2).unwrap();
    assert_eq!(refused(&mut next, signup("Bob", &password("Bob"))).0, Code::NameTaken);
    let seq = ann.take_seq();
    let (code, why) = refused(&mut ann, send_to(2, "", seq));
    assert_eq!((code, why.as_str()), (Code::PeerGone, "bob has deleted the account"));
}

#[test]
fn a_password_is_a_digest_and_nothing_else() {
    let cluster = Cluster::start(1);
    let address = cluster.nodes[0].address();
    let right = password("ann");
    let mut ann = Client::logged_in(address, Codec::Samira2, "ann").unwrap();
    let wrong = ["secret", "", &right[1..], &right.to_uppercase(), &format!("{right}0"), &format!("{}g", &right[1..])];
    for bad in wrong {
        for codec in CODECS {
            let mut client = Client::connect(address, codec).unwrap();
            for request in [login("ann", bad), signup("carl", bad)] {
                let (code, why) = refused(&mut client, request);
                assert_eq!(code, Code::Malformed, "{bad}");
                assert!(why.contains("64 lowercase hexadecimal digits") && why.contains("normal form C"), "{why}");
            }
        }
        for (old, new) in [(bad, &*right), (&*right, bad)] {
            let change = Request::Password(Password { password: old, new_password: new });
            assert_eq!(refused(&mut ann, change).0, Code::Malformed, "{bad}");
        }
        let delete = Request::DeleteAccount(DeleteAccount { password: bad, confirm: true });
        assert_eq!(refused(&mut ann, delete).0, Code::Malformed, "{bad}");
    }
    assert_eq!(logged_in_as(&mut Client::connect(address, Codec::Json2).unwrap(), "ann", &right), "ann");
}

/// What the release before has left: accounts whose names have no keys, in a database that has no room for them.
fn make_old(node: &Node) {
    let state = Connection::open(node.dir.join("state.db")).unwrap();
    let columns = ["fold", "skeleton", "search", "nickname_search"];
    let drop: String = columns.map(|column| format!("ALTER TABLE users DROP COLUMN {column};")).concat();
    let names = "UPDATE users SET name = 'ANN' WHERE name = 'anna'; UPDATE users SET name = '#1' WHERE name = 'one';";
    state
        .execute_batch(&format!(
            "DROP INDEX users_by_fold; DROP INDEX users_by_skeleton; DROP INDEX users_searched; {drop} {names}
             PRAGMA user_version = 5;"
        ))
        .unwrap();
}

#[test]
fn a_directory_of_the_release_before_starts_and_its_people_log_in() {
    let cluster = Cluster::start(1);
    for name in ["Ann", "anna", "one", "Zoë"] {
        Client::logged_in(cluster.nodes[0].address(), Codec::Samira2, name).unwrap();
    }
    cluster.nodes[0].stop();
    make_old(&cluster.nodes[0]);
    cluster.nodes[0].start(None);
    let address = cluster.nodes[0].address();
    let log_in = |name: &str, of: &str| {
        logged_in_as(&mut Client::connect(address, Codec::Samira2).unwrap(), name, &password(of))
    };
    // To the letter, whatever else there is; by the key where it is one's alone.
    for (typed, of) in [("Ann", "Ann"), ("ANN", "anna"), ("#1", "one"), ("Zoë", "Zoë"), ("ZOË", "Zoë")] {
        log_in(typed, of);
    }
    let mut client = Client::connect(address, Codec::Samira2).unwrap();
    assert_eq!(refused(&mut client, login("aNN", &password("Ann"))).0, Code::BadCredentials);
    assert_eq!(refused(&mut client, signup("ann", &password("ann"))).0, Code::NameTaken);
    assert_eq!(refused(&mut client, signup("zoë", &password("zoë"))).0, Code::NameTaken);
    let mut new = Client::logged_in(address, Codec::Samira2, "new").unwrap();
    assert_eq!(found(&mut new, "zoe"), ["Zoë"]);
    // One that is called as a conversation would be is reached by name.
    let seq = new.take_seq();
    new.ask(send_to(0, "#1", seq), |reply| if matches!(reply, Reply::Sent(_)) { Ok(()) } else { bail!("{reply:?}") })
        .unwrap();
}
