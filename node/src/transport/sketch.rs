use wire::{DecodeError, DecodeErrorKind, codec::Codec};
#[derive(Debug)]
pub(super) struct Splitter(Codec, bool);
impl Splitter {
    pub(super) fn new(codec: Codec) -> Self {
        Self(codec, false)
    }
    pub(super) fn is_idle(&self) -> bool {
        self.1
    }
    pub(super) fn reset(&mut self) {
        self.1 = false;
    }
    pub(super) fn push(&mut self, b: &[u8]) -> Result<Option<usize>, DecodeError> {
        let bad = |at| Err(DecodeError { at, kind: DecodeErrorKind::Malformed("x") });
        self.1 = self.0 == Codec::Json && b.iter().all(u8::is_ascii_whitespace);
        if b.len() > wire::limits::REQUEST_BYTES_MAX && self.0 == Codec::Json {
            return bad(1);
        }
        match self.0 {
            Codec::Json => {
                let (mut depth, mut string, mut esc) = (0, false, false);
                for (i, c) in b.iter().enumerate() {
                    if string {
                        if esc {
                            esc = false
                        } else if *c == b'\\' {
                            esc = true
                        } else if *c == b'"' {
                            string = false
                        }
                        continue;
                    }
                    match c {
                        b'{' => depth += 1,
                        b'}' => {
                            depth -= 1;
                            if depth == 0 {
                                return Ok(Some(i + 1));
                            }
                        }
                        b'"' => string = true,
                        b' ' | b'\n' => {}
                        _ if depth == 0 => return bad(i),
                        _ => {}
                    }
                }
                Ok(None)
            }
            Codec::Samira1 => {
                fn value(b: &[u8], p: &mut usize) -> Option<()> {
                    let n = |p: &mut usize, k: usize| {
                        let s = b.get(*p..*p + k)?;
                        *p += k;
                        Some(s.iter().fold(0usize, |a, x| a << 8 | *x as usize))
                    };
                    match n(p, 1)? {
                        1 => {
                            let l = n(p, 4)?;
                            if b.len() < *p + l {
                                return None;
                            }
                            *p += l;
                        }
                        2 => {
                            n(p, 4)?;
                        }
                        7 => {
                            for _ in 0..n(p, 4)? {
                                let l = n(p, 2)?;
                                if b.len() < *p + l {
                                    return None;
                                }
                                *p += l;
                                value(b, p)?;
                            }
                        }
                        _ => {}
                    }
                    Some(())
                }
                if b.first().is_some_and(|b| *b != 7) {
                    return bad(0);
                }
                let mut p = 0;
                Ok(value(b, &mut p).map(|()| p))
            }
        }
    }
}
