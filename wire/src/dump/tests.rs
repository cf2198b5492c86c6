use super::{message, replication};
use crate::codec::Codec;
use crate::replication::command::{Chat, Command};

#[test]
fn json_is_cut_at_its_tokens() {
    let bytes = br#"{"success": true, "users": ["a", "a rather long name"], "error_message": ""}"#;
    assert_eq!(
        message(Codec::Json, bytes),
        "\
000000  7b                                                              {
000001  22 73 75 63 63 65 73 73 22 3a 20                 success        key
00000c  74 72 75 65 2c 20                                success        true
000012  22 75 73 65 72 73 22 3a 20                       users          key
00001b  5b                                               users          [
00001c  22 61 22 2c 20                                   users[0]       \"a\"
000021  22 61 20 72 61 74 68 65 72 20 6c 6f 6e 67 20 6e  users[1]       \"a rather long name\"
000031  61 6d 65 22
000035  5d 2c 20                                         users          ]
000038  22 65 72 72 6f 72 5f 6d 65 73 73 61 67 65 22 3a  error_message  key
000048  20
000049  22 22                                            error_message  \"\"
00004b  7d                                                              }
"
    );
}

#[test]
fn what_makes_no_sense_is_shown_with_the_reason() {
    assert_eq!(
        message(Codec::Samira1, b"\x07\0\0\0\x01\0\x01a\x09xyz"),
        "\
000000  07 00 00 00 01                                      dictionary of 1
000005  00 01 61                                         a  key
000008  09 78 79 7a                                         malformed tag at byte 8
"
    );
    assert_eq!(
        message(Codec::Json, b"{}{"),
        "\
000000  7b                                                 {
000001  7d                                                 }
000002  7b                                                 left over
"
    );
}

#[test]
fn a_dump_covers_every_byte_of_any_input() {
    for codec in Codec::ALL {
        for sample in
            [&b"{\"a\": [1, {\"b\": null}], \"c\": \"\""[..], b"\x07\0\0\0\x01\0\x01a\x01\0\0\0\x05ab", b"", b"\""]
        {
            let dump = message(codec, sample);
            let hex = dump.lines().flat_map(|line| line.get(8..55).unwrap_or(&line[8..]).split_whitespace());
            let bytes: std::vec::Vec<u8> = hex.map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect();
            assert_eq!(bytes, sample, "{dump}");
        }
    }
}

#[test]
fn replication_messages_are_named_by_their_structure() {
    let command = Command::Send { user: 300, chat: Chat::Legacy("a_b"), text: "hi" };
    assert_eq!(
        replication(&command),
        "\
000000  01                                                     format version
000001  04                                                     variant Send
000002  ac 02                                            user  300
000004  01                                               chat  variant Legacy
000005  03 61 5f 62                                      chat  text \"a_b\"
000009  02 68 69                                         text  text \"hi\"
"
    );
    let consumed = Command::ConsumeJoinCode { hash: [7; 32], node: 1 };
    assert!(replication(&consumed).contains("hash  32 bytes"), "a checksum is one row");
}
