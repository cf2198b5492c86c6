//! Where passwords come from: standard input, the environment, or a person.

use std::io::{self, BufRead, IsTerminal};

use client_fltk::command::Password;

use crate::Stop;

/// How to ask.
pub(crate) struct Source {
    /// From standard input, one a line.
    pub(crate) stdin: bool,
}

impl Source {
    /// A password that exists: `variable` holds it for scripts.
    pub(crate) fn known(&self, prompt: &str, variable: &str) -> Result<Password, Stop> {
        self.read(prompt, variable).map(|typed| Password::of(&typed))
    }

    /// A new one, typed twice by people.
    pub(crate) fn new_one(&self, variable: &str) -> Result<Password, Stop> {
        let typed = self.read("New password: ", variable)?;
        if typed.is_empty() {
            return Err(Stop::Usage("an empty password protects nothing".to_owned()));
        }
        let by_person = !self.stdin && std::env::var_os(variable).is_none();
        if by_person && self.read("The same again: ", variable)? != typed {
            return Err(Stop::Usage("the two were not the same: try again".to_owned()));
        }
        Ok(Password::of(&typed))
    }

    fn read(&self, prompt: &str, variable: &str) -> Result<String, Stop> {
        if self.stdin {
            let mut line = String::new();
            let got = io::stdin().lock().read_line(&mut line);
            return match got {
                Ok(1..) => Ok(line.trim_end_matches(['\n', '\r']).to_owned()),
                _ => Err(Stop::Usage("no password came from standard input".to_owned())),
            };
        }
        if let Ok(typed) = std::env::var(variable) {
            return Ok(typed);
        }
        if !io::stdin().is_terminal() {
            let text = format!("nobody can be asked for the password: use --password-stdin or {variable}");
            return Err(Stop::Usage(text));
        }
        rpassword::prompt_password(prompt).map_err(|error| Stop::Usage(format!("cannot ask for the password: {error}")))
    }
}
