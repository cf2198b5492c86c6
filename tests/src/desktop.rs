//! People's desktops: a screen in memory, the real desktop client on it, and hands on its keyboard and mouse.
//!
//! Nothing but the client's own window tells what it does: its title, its pixels, and what its profile holds. A screen
//! has no window manager, so windows lie where they are put, and the one that was touched last has the keyboard.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use client_fltk::model::Model;
use client_fltk::store::Store;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cluster::{die_with_thread_of_test, program, run_to_end, spawner};
use crate::{not_run, wait_for, wait_until};

/// Milliseconds between two typed keys: none has to be waited for, and a client that loses some at this speed is broken.
const KEY_MS: &str = "2";

/// Milliseconds between repeats of a key that is held: X does 25 a second, some desktops 40.
const REPEAT_MS: &str = "25";

/// Runs the test called `name`, whose body is `body`, where there can be a screen of that size. Says so loudly where there
/// can not.
///
/// # Panics
/// When the test fails.
pub fn on_a_screen(name: &str, size: (u32, u32), body: impl FnOnce(&Screen)) {
    let missing = [("Xvfb", "-help", "xvfb"), ("xdotool", "version", "xdotool")]
        .into_iter()
        .find(|(program, argument, _)| Command::new(program).arg(argument).output().is_err());
    match missing {
        None => body(&Screen::start(size)),
        Some((program, _, package)) => {
            not_run(name, &format!("the program `{program}` is missing (Debian: apt-get install {package})"));
        }
    }
}

/// A screen in memory.
pub struct Screen {
    server: Child,
    display: String,
    directory: TempDir,
}

/// A rectangle of pixels.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    width: usize,
    pixels: Vec<u32>,
}

/// A rectangle of a screen or window: left, top, width, height.
pub type Place = (usize, usize, usize, usize);

impl Screen {
    /// Starts one; it ends with the test.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start((width, height): (u32, u32)) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let log = File::create(directory.path().join("log")).expect("the directory can be written");
        let mut command = Command::new("Xvfb");
        // It chooses a free display itself, and writes its number once it serves.
        command.args(["-displayfd", "1", "-nolisten", "tcp", "-noreset", "-br", "-fbdir"]).arg(directory.path());
        command.args(["-screen", "0", &format!("{width}x{height}x24")]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        die_with_thread_of_test(&mut command);
        let mut server = spawner::spawn(&mut command).expect("Xvfb runs");
        let mut number = String::new();
        let stdout = server.stdout.take().expect("stdout was asked for");
        BufReader::new(stdout).read_line(&mut number).expect("a pipe can be read");
        let said = || fs::read_to_string(directory.path().join("log")).unwrap_or_default();
        assert!(!number.trim().is_empty(), "Xvfb has ended: {}", said());
        Self { server, display: format!(":{}", number.trim()), directory }
    }

    /// Moves hands; returns what they saw, if they could do it.
    fn hands(&self, args: &[&str]) -> Option<String> {
        let output = run_to_end(Command::new("xdotool").args(args).env("DISPLAY", &self.display).stdin(Stdio::null()));
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// What is on it there.
    ///
    /// # Panics
    /// When the place is not on the screen.
    #[must_use]
    pub fn picture(&self, (x, y, width, height): Place) -> Picture {
        // An X window dump: a header of big-endian numbers, the colour map, and rows of pixels.
        let file = File::open(self.frame()).expect("the screen is a file");
        let field = |index: u64| {
            let mut bytes = [0; 4];
            file.read_exact_at(&mut bytes, index * 4).expect("a dump begins with 25 numbers");
            u32::from_be_bytes(bytes)
        };
        let (header, columns, rows, row_bytes, colours) = (field(0), field(4), field(5), field(12), field(19));
        assert_eq!(field(11), 32, "a pixel has 32 bits");
        assert!(x + width <= columns as usize && y + height <= rows as usize, "{x},{y} {width}x{height}");
        let begin = u64::from(header) + u64::from(colours) * 12;
        let mut bytes = vec![0; width * 4];
        let mut pixels = Vec::with_capacity(width * height);
        for row in y..y + height {
            let at = begin + row as u64 * u64::from(row_bytes) + x as u64 * 4;
            file.read_exact_at(&mut bytes, at).expect("it is within the screen");
            pixels.extend(bytes.as_chunks().0.iter().map(|&pixel| u32::from_ne_bytes(pixel) & 0x00ff_ffff));
        }
        Picture { width, pixels }
    }

    fn frame(&self) -> PathBuf {
        self.directory.path().join("Xvfb_screen0")
    }

    /// Leaves behind what is on it, for who looks for the reason of a failure.
    fn keep(&self) {
        let kept = std::env::temp_dir().join(format!("samira-screen-{}.xwd", self.server.id()));
        // Once: the first window that closes is followed by others.
        if !kept.exists() && fs::copy(self.frame(), &kept).is_ok() {
            eprintln!("---- the screen, as an X window dump: {}", kept.display());
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Picture {
    /// The colour of one pixel.
    #[must_use]
    pub fn at(&self, x: usize, y: usize) -> u32 {
        self.pixels[y * self.width + x]
    }

    /// How many different colours it has; smooth letters alone bring dozens.
    #[must_use]
    pub fn colours(&self) -> usize {
        let mut colours = self.pixels.clone();
        colours.sort_unstable();
        colours.dedup();
        colours.len()
    }
}

/// The command of a desktop client on a profile, not yet started: nothing of the surroundings configures it, and it dies
/// with the test.
///
/// # Panics
/// When it does not build.
#[must_use]
pub fn command(screen: &Screen, profile: &Path, args: &[&str]) -> Command {
    let mut command = program("client-fltk");
    command.arg("--data-dir").arg(profile).args(args).env("DISPLAY", &screen.display);
    // What a test does is nothing for the screen reader of whoever runs it.
    command.env("DBUS_SESSION_BUS_ADDRESS", "disabled:");
    die_with_thread_of_test(&mut command);
    command
}

/// A client whose window may not be there yet.
pub struct Starting<'s>(Window<'s>);

impl<'s> Starting<'s> {
    /// Runs a client's command.
    ///
    /// # Panics
    /// When it cannot be run.
    #[must_use]
    pub fn new(screen: &'s Screen, profile: &Path, command: &mut Command) -> Self {
        let process = RefCell::new(spawner::spawn(command).expect("the client runs"));
        Self(Window { screen, process, id: String::new(), profile: profile.to_owned() })
    }

    /// Waits for the window.
    ///
    /// # Panics
    /// When none shows up.
    #[must_use]
    pub fn window(self) -> Window<'s> {
        let Self(mut window) = self;
        let pid = window.pid().to_string();
        window.id = wait_for("a window", || {
            window.assert_runs();
            let found = window.screen.hands(&["search", "--onlyvisible", "--pid", &pid])?;
            found.lines().next().map(str::to_owned)
        });
        window
    }
}

/// The window of a running desktop client.
pub struct Window<'s> {
    screen: &'s Screen,
    process: RefCell<Child>,
    id: String,
    profile: PathBuf,
}

impl<'s> Window<'s> {
    /// Starts a client and waits for its window.
    ///
    /// # Panics
    /// When none shows up.
    #[must_use]
    pub fn open(screen: &'s Screen, profile: &Path, args: &[&str]) -> Self {
        Starting::new(screen, profile, &mut command(screen, profile, args)).window()
    }

    /// Where its window begins on the screen, left and top, before it is put somewhere else.
    pub const ORIGIN: (usize, usize) = (1, 20);

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.borrow().id()
    }

    fn exited(&self) -> Option<ExitStatus> {
        self.process.borrow_mut().try_wait().expect("it is our child")
    }

    /// # Panics
    /// When the client has ended.
    pub fn assert_runs(&self) {
        if let Some(status) = self.exited() {
            panic!("the client has ended: {status}");
        }
    }

    /// Does something with the window, which must be possible.
    fn hands(&self, args: &[&str]) -> String {
        self.assert_runs();
        self.screen.hands(args).unwrap_or_else(|| {
            self.assert_runs();
            panic!("xdotool {args:?} failed");
        })
    }

    /// Puts it somewhere else.
    pub fn place(&self, x: u32, y: u32) {
        self.hands(&["windowmove", "--sync", &self.id, &x.to_string(), &y.to_string()]);
    }

    /// Makes it so large, even if it does not want to be.
    pub fn resize(&self, width: u32, height: u32) {
        self.hands(&["windowsize", &self.id, &width.to_string(), &height.to_string()]);
        wait_until("the window to have another size", || self.geometry().2 == width as usize);
    }

    /// Gives it the keyboard.
    pub fn focus(&self) {
        self.hands(&["windowraise", &self.id]);
        self.hands(&["windowfocus", "--sync", &self.id]);
    }

    /// Presses keys together: `ctrl+2`, `Return`.
    pub fn press(&self, keys: &str) {
        self.hands(&["key", keys]);
    }

    /// Presses one key again and again, as fast as it repeats when it is held.
    pub fn press_often(&self, key: &str, times: usize) {
        let keys = std::iter::repeat_n(key, times);
        self.hands(&["key", "--delay", REPEAT_MS].into_iter().chain(keys).collect::<Vec<_>>());
    }

    /// Types a text of letters that are on the keyboard.
    pub fn write(&self, text: &str) {
        self.hands(&["type", "--delay", KEY_MS, "--", text]);
    }

    /// Types lines, with Enter between them, all in one go.
    pub fn write_lines(&self, lines: &[impl AsRef<str>]) {
        let mut args = Vec::new();
        for (place, line) in lines.iter().enumerate() {
            if place > 0 {
                args.extend(["key", "--delay", KEY_MS, "Return"]);
            }
            if !line.as_ref().is_empty() {
                args.extend(["type", "--delay", KEY_MS, "--args", "1", line.as_ref()]);
            }
        }
        self.hands(&args);
    }

    /// Stops the client where it stands, as a machine that has too much to do; what is done to it meanwhile comes at once
    /// after [`Window::thaw`].
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process.borrow());
        // Fails only when it has ended already, which is seen where something is expected of it.
        let _ = kill_process(pid, signal);
    }

    /// Puts the mouse there.
    pub fn point(&self, x: i32, y: i32) {
        self.hands(&["mousemove", "--window", &self.id, &x.to_string(), &y.to_string()]);
    }

    /// Drags the mouse over these places.
    pub fn drag(&self, over: impl IntoIterator<Item = (i32, i32)>) {
        let mut places = over.into_iter().map(|(x, y)| (x.to_string(), y.to_string()));
        let Some((x, y)) = places.next() else { return };
        self.hands(&["mousemove", "--window", &self.id, &x, &y, "mousedown", "1"]);
        for (x, y) in places {
            self.hands(&["mousemove", "--window", &self.id, &x, &y]);
        }
        self.hands(&["mouseup", "1"]);
    }

    /// Presses the button of the mouse there, twice.
    pub fn double_click(&self, x: i32, y: i32) {
        self.hands(&[
            "mousemove",
            "--window",
            &self.id,
            &x.to_string(),
            &y.to_string(),
            "click",
            "--repeat",
            "2",
            "--delay",
            "20",
            "1",
        ]);
    }

    /// What stands in its title bar.
    #[must_use]
    pub fn title(&self) -> String {
        self.hands(&["getwindowname", &self.id])
    }

    /// Waits until exactly that stands in its title bar.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn wait_title(&self, title: &str) {
        let mut last = String::new();
        wait_until(&format!("the title {title:?}"), || {
            let found = self.title();
            if found != last {
                // Shown when the test fails.
                eprintln!("a window's title: {found}");
                last.clone_from(&found);
            }
            found == title
        });
    }

    /// Where it is on the screen, and its size.
    ///
    /// # Panics
    /// When it has none.
    #[must_use]
    pub fn geometry(&self) -> Place {
        let said = self.hands(&["getwindowgeometry", "--shell", &self.id]);
        let field = |name: &str| {
            let value = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {said}"))
        };
        (field("X"), field("Y"), field("WIDTH"), field("HEIGHT"))
    }

    /// What it shows; nothing may lie above it.
    #[must_use]
    pub fn picture(&self) -> Picture {
        self.screen.picture(self.geometry())
    }

    /// Its profile.
    #[must_use]
    pub fn profile(&self) -> &Path {
        &self.profile
    }

    /// Closes it with the keyboard, and waits until the client has ended in good order.
    ///
    /// # Panics
    /// When it does not, or complains.
    pub fn quit(self) {
        self.focus();
        self.press("ctrl+q");
        self.wait_end();
    }

    /// Waits until the client has ended in good order.
    ///
    /// # Panics
    /// When it does not, or complains.
    pub fn wait_end(self) {
        let status = wait_for("the client to end", || self.exited());
        assert!(status.success(), "{status}");
    }

    /// `kill -9`, and waits for its end.
    ///
    /// # Panics
    /// When it has ended before.
    pub fn kill(self) {
        self.assert_runs();
        drop(self);
    }
}

impl Drop for Window<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.screen.keep();
        }
        let process = self.process.get_mut();
        // Fails only when it has ended already.
        let _ = process.kill();
        let _ = process.wait();
    }
}

/// What a profile holds on disk. The client may be running.
///
/// # Panics
/// When it cannot be read.
#[must_use]
pub fn held(profile: &Path) -> Model {
    Store::open(&profile.join("profile.db")).expect("a profile can be read").1
}
