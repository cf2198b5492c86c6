//! The desktop client: a light, dark window onto a Samira cluster.
//!
//! `app` is what it knows and does, without a window; `look` is how it looks; `view` is the window. This file reads the
//! command line and runs the one loop: what the driver has told and what the person has done becomes messages, messages
//! change the state and ask for commands, and then the views are brought up to date. `frames` measures.
#![forbid(unsafe_code)]

mod app;
mod frames;
mod look;
mod view;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;

use clap::Parser;
use client_fltk::command::{Failure, Note, Ticket};
use client_fltk::env::Clock;
use client_fltk::link::Link;
use client_fltk::net::driver::{Driver, SendError, Settings, StartError};
use client_fltk::options::Options;
use fltk::prelude::*;

use app::{App, Cmd, For, Msg, Theme, update};
use frames::Frames;
use view::Ui;
use view::shell::Shell;

/// Talk over a Samira cluster
#[derive(Debug, Parser)]
#[command(name = "client-fltk", version)]
struct Cli {
    #[command(flatten)]
    options: Options,
    /// How large everything is: 1.0 as designed, 2.0 twice that. Ctrl+plus and Ctrl+minus change it
    #[arg(long, value_name = "F", value_parser = scale)]
    scale: Option<f32>,
    /// Measure how long frames take, and write it there at the end
    #[arg(long, hide = true, value_name = "FILE")]
    frames: Option<PathBuf>,
}

fn scale(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(scale) if (0.5..=5.0).contains(&scale) => Ok(scale),
        _ => Err("a number from 0.5 to 5 is needed".to_owned()),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let settings = match cli.options.into_settings() {
        Ok(settings) => Settings { takes_over: true, ..settings },
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let frames = if cli.frames.is_some() { Frames::measured() } else { Frames::default() };
    let mut program = Program::new(settings, frames.clone());
    program.connect();
    if let Some(scale) = cli.scale {
        program.set_scale(scale);
    }
    program.run();
    if let (Some(path), Some(report)) = (cli.frames, frames.report())
        && let Err(error) = std::fs::write(&path, report)
    {
        eprintln!("error: cannot write {}: {error}", path.display());
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Notes that are taken in one turn; then the window is drawn, and more are taken.
const NOTES_PER_TURN: usize = 64;

/// Rounds of what views find to be missing in one turn. Each asks for something that is then under way.
const ROUNDS_MAX: usize = 8;

/// The window, the state and the driver, and the loop that joins them.
struct Program {
    fltk: fltk::app::App,
    app: Rc<RefCell<App>>,
    posted: Rc<RefCell<VecDeque<Msg>>>,
    shell: Shell,
    settings: Settings,
    driver: Option<Driver>,
    asked: HashMap<Ticket, For>,
    /// What the views are to do at the end of this turn.
    for_views: Vec<Cmd>,
    clock: Clock,
    /// When the screen is looked at again by itself, milliseconds since 1970; `None` once that has happened.
    tick_at: Rc<Cell<Option<(u64, fltk::app::TimeoutHandle)>>>,
    frames: Frames,
}

impl Program {
    fn new(settings: Settings, frames: Frames) -> Self {
        let fltk = fltk::app::App::default();
        let app = Rc::new(RefCell::new(App::default()));
        let posted = Rc::new(RefCell::new(VecDeque::new()));
        let ui = Ui::new(Rc::clone(&app), Rc::clone(&posted));
        let shell = Shell::new(&ui, "Samira", frames.clone());
        let (driver, asked, clock) = (None, HashMap::new(), Clock::start());
        let (for_views, tick_at) = (Vec::new(), Rc::default());
        let program = Self { fltk, app, posted, shell, settings, driver, asked, for_views, clock, tick_at, frames };
        if let Some(kept) = program.theme_path().and_then(|path| std::fs::read_to_string(path).ok()) {
            program.app.borrow_mut().settings.theme = Theme::named(&kept);
        }
        let named = program.settings.link.as_ref().and_then(|link| link.addresses.first());
        if let Some(address) = named {
            program.app.borrow_mut().wanted = address.to_string();
        }
        program
    }

    fn set_scale(&mut self, scale: f32) {
        for screen in 0..fltk::app::screen_count() {
            fltk::app::set_screen_scale(screen, scale);
        }
    }

    /// Where the colours are kept: beside the profile, which the library owns.
    fn theme_path(&self) -> Option<PathBuf> {
        self.settings.directory.as_ref().map(|directory| directory.join("colours"))
    }

    /// Starts the driver with the settings there are.
    fn connect(&mut self) {
        // The profile belongs to one driver at a time.
        self.driver = None;
        self.asked.clear();
        let started = Driver::start(self.settings.clone(), fltk::app::awake);
        let msg = match started {
            Ok(driver) => {
                self.driver = Some(driver);
                self.settings.link = None;
                None
            }
            Err(StartError::NoLink) => Some(Msg::NotStarted(String::new())),
            Err(error) => Some(Msg::NotStarted(error.to_string())),
        };
        self.posted.borrow_mut().extend(msg);
    }

    fn run(&mut self) {
        self.turn();
        // Events and drawing are FLTK's part of a frame; what they lead to is ours.
        while self.fltk.wait() {
            self.frames.clone().measure(frames::TURN, || self.turn());
            self.shell.speak();
        }
        // What was done in the same instant, before the window was closed.
        self.take_posted();
        self.handle(Msg::Left);
    }

    /// Takes in what has happened, and brings the window up to date once.
    fn turn(&mut self) {
        let mut changed = false;
        for _ in 0..NOTES_PER_TURN {
            let Some(note) = self.driver.as_ref().and_then(Driver::try_note) else { break };
            changed = true;
            self.note(note);
        }
        if changed {
            // There may be more than one turn takes.
            fltk::app::awake();
        }
        changed |= self.take_posted();
        if !changed && self.shell.window().shown() {
            return;
        }
        let has_focus = fltk::app::focus().is_some();
        if self.app.borrow().has_focus != has_focus {
            self.handle(Msg::Focus(has_focus));
        }
        let for_views = std::mem::take(&mut self.for_views);
        if !for_views.is_empty() {
            // The views that they speak of have to be there.
            self.shell.sync();
            for_views.iter().for_each(|cmd| self.shell.run(cmd));
        }
        for _ in 0..ROUNDS_MAX {
            let wants = self.shell.sync();
            if wants.is_empty() {
                break;
            }
            let before = self.asked.len();
            wants.into_iter().for_each(|msg| self.handle(msg));
            if self.asked.len() == before {
                break;
            }
        }
        self.set_tick();
    }

    /// Deals with what views have said; whether there was anything.
    fn take_posted(&mut self) -> bool {
        let mut any = false;
        loop {
            let msg = self.posted.borrow_mut().pop_front();
            let Some(msg) = msg else { return any };
            any = true;
            self.handle(msg);
        }
    }

    fn note(&mut self, note: Note) {
        match note {
            Note::Model(model) => self.handle(Msg::Started(model)),
            Note::Changed(deltas) => self.handle(Msg::Changed(deltas)),
            Note::Answer { ticket, outcome } => {
                if let Some(of) = self.asked.remove(&ticket) {
                    self.handle(Msg::Answered(of, outcome));
                }
            }
            Note::Broken(why) => self.handle(Msg::Broken(why)),
        }
    }

    fn handle(&mut self, msg: Msg) {
        let now_ms = self.clock.unix_ms();
        let cmds = update(&mut self.app.borrow_mut(), msg, now_ms);
        for cmd in cmds {
            match cmd {
                Cmd::Ask(command, of) => match self.driver.as_ref().map(|driver| driver.send(command)) {
                    Some(Ok(ticket)) => {
                        self.asked.insert(ticket, of);
                    }
                    Some(Err(error @ SendError::Busy)) => {
                        let failure = Failure::Busy(error.to_string());
                        self.posted.borrow_mut().push_back(Msg::Answered(of, Err(failure)));
                    }
                    // A note has said why, or there was never one.
                    Some(Err(SendError::Ended)) | None => {}
                },
                Cmd::Connect(text) => match text.parse::<Link>() {
                    Ok(link) => {
                        self.settings.link = Some(link);
                        self.connect();
                    }
                    Err(error) => self.posted.borrow_mut().push_back(Msg::NotStarted(error.to_string())),
                },
                Cmd::Copy(text) => look::toolkit::copy(&text),
                Cmd::Follow(address) => follow(&address),
                // Colours are worth no error; the next start is dark again then.
                Cmd::Keep(theme) => drop(self.theme_path().map(|path| std::fs::write(path, theme.name()))),
                cmd => self.for_views.push(cmd),
            }
        }
    }

    /// Wakes up when something on the screen changes by itself, and not before.
    fn set_tick(&mut self) {
        let (now_ms, in_ms) = (self.clock.unix_ms(), self.app.borrow().changes_in_ms());
        let at = now_ms + in_ms;
        if let Some((set, handle)) = self.tick_at.get() {
            // A little too early does no harm.
            if set <= at && at - set < 500 {
                return;
            }
            fltk::app::remove_timeout3(handle);
        }
        let (posted, tick_at) = (Rc::clone(&self.posted), Rc::clone(&self.tick_at));
        let handle = fltk::app::add_timeout3(in_ms as f64 / 1000.0, move |_| {
            // By the clock it may be a little before its time, and must be set again then.
            tick_at.set(None);
            posted.borrow_mut().push_back(Msg::Tick);
            // FLTK calls back before it waits, and would not return from that wait.
            fltk::app::awake();
        });
        self.tick_at.set(Some((at, handle)));
    }
}

/// Opens a web address with what the desktop uses for it. Only ever called with one that was found in a message and
/// begins with http.
fn follow(address: &str) {
    let opened = std::process::Command::new("xdg-open").arg(address).spawn();
    if let Ok(mut child) = opened {
        // Nobody waits for it, and it is not to be left behind as a zombie.
        std::thread::spawn(move || child.wait());
    }
}
