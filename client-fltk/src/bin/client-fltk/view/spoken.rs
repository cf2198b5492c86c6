//! What screen readers are told: what is in the window, under which names, where the keyboard is, and what comes new.
//!
//! AccessKit carries it to AT-SPI, from a thread of its own. Every part of the window that says something or can be used joins
//! in when it is made, and is asked in that order, which is the order of reading. Lists and messages draw their own lines, so
//! they tell of those that are in sight. Nothing is asked while nobody listens.
//!
//! The crate `fltk-accesskit` would do with less code, and takes the number of a node for the address of a widget: lines that
//! are no widgets cannot have one there (docs/adr/0025).

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use accesskit::{
    Action, ActionData, ActionHandler, ActionRequest, ActivationHandler, DeactivationHandler, Live, Node, NodeId, Rect,
    Role, TreeId, TreeInfo, TreeUpdate,
};
use accesskit_unix::Adapter;
use fltk::app;
use fltk::prelude::*;
use fltk::widget::Widget;
use fltk::window::Window;

use super::Ui;
use crate::app::App;

/// Requests of screen readers that wait. Nobody presses more buttons at once; what is beyond it is not done.
const REQUESTS_MAX: usize = 64;

/// How soon the window is told again to somebody who began to listen, seconds: AccessKit says so a moment before it is ready.
const AGAIN_S: f64 = 0.05;

/// The window itself.
const WINDOW: NodeId = NodeId(1);

/// The nodes of one part: the part's own, and those of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place(u64);

impl Place {
    const BITS: u32 = 48;

    fn nth(at: usize) -> Self {
        Self((at as u64 + 1) << Self::BITS)
    }

    /// The part.
    pub(super) fn whole(self) -> NodeId {
        NodeId(self.0)
    }

    /// One of its lines, by a number that stays its own.
    pub(super) fn line(self, number: u64) -> NodeId {
        NodeId(self.0 | ((number + 1) & ((1 << Self::BITS) - 1)))
    }

    /// Which of its lines that is; `None`: the part itself.
    pub(super) fn line_of(self, node: NodeId) -> Option<u64> {
        (node.0 ^ self.0).checked_sub(1)
    }
}

/// A part of the window.
pub(super) trait Speaks {
    /// Adds its nodes, of which the first is its own; none while it cannot be seen.
    fn nodes(&self, app: &App, place: Place, nodes: &mut Vec<(NodeId, Node)>);

    /// The node that the keyboard is at.
    fn focus(&self, _app: &App, _place: Place) -> Option<NodeId> {
        None
    }

    /// Does what somebody asks who cannot use the mouse; `line` is one of its lines.
    fn act(&self, _ui: &Ui, _line: Option<u64>, _action: Action, _text: Option<&str>) {}
}

/// All parts, in the order of reading.
pub(super) type Parts = Rc<RefCell<Vec<Box<dyn Speaks>>>>;

/// A node of a widget: with its place in the window.
pub(super) fn node_of<W: WidgetExt>(widget: &W, role: Role, label: &str) -> Node {
    node_at(role, label, (widget.x(), widget.y(), widget.w(), widget.h()))
}

/// A node at a place in the window: left, top, width, height.
pub(super) fn node_at(role: Role, label: &str, (x, y, w, h): (i32, i32, i32, i32)) -> Node {
    let mut node = Node::new(role);
    node.set_label(client_fltk::harmless::plain(label).as_ref());
    let (x, y, w, h) = (f64::from(x), f64::from(y), f64::from(w), f64::from(h));
    node.set_bounds(Rect { x0: x, y0: y, x1: x + w, y1: y + h });
    node
}

/// Words on a part of the window that is only drawn.
pub(super) struct Words<F> {
    widget: Widget,
    role: Role,
    /// They are read out when they change.
    is_news: bool,
    words: F,
}

impl<F: Fn(&App) -> Option<String> + 'static> Words<F> {
    /// Lets `words` be read where `widget` is.
    pub(super) fn join(ui: &Ui, widget: &Widget, role: Role, is_news: bool, words: F) {
        ui.speak(Self { widget: widget.clone(), role, is_news, words });
    }
}

impl<F: Fn(&App) -> Option<String>> Speaks for Words<F> {
    fn nodes(&self, app: &App, place: Place, nodes: &mut Vec<(NodeId, Node)>) {
        if !self.widget.visible_r() {
            return;
        }
        let words = (self.words)(app).filter(|words| !words.is_empty());
        // What tells news is there before it does, so that its change can be noticed.
        if words.is_some() || self.is_news {
            let mut node = node_of(&self.widget, self.role, &words.unwrap_or_default());
            if self.is_news {
                node.set_live(Live::Polite);
            }
            nodes.push((place.whole(), node));
        }
    }
}

/// The way to screen readers.
pub(super) struct Speech {
    adapter: Adapter,
    requests: Receiver<ActionRequest>,
    /// Somebody began to listen, and was told nothing yet.
    is_wanted: Arc<AtomicBool>,
}

impl Speech {
    pub(super) fn new() -> Self {
        let (sender, requests) = sync_channel(REQUESTS_MAX);
        let is_wanted = Arc::new(AtomicBool::new(false));
        let listeners = Listeners { is_wanted: Arc::clone(&is_wanted) };
        let adapter = Adapter::new(listeners.clone(), Asker(sender), listeners);
        Self { adapter, requests, is_wanted }
    }

    /// Does what was asked, and tells how the window is now, if somebody listens.
    pub(super) fn turn(&mut self, ui: &Ui, window: &Window) {
        while let Ok(request) = self.requests.try_recv() {
            act(ui, &request);
        }
        self.adapter.update_window_focus_state(ui.app().has_focus);
        let (is_wanted, mut is_told) = (self.is_wanted.load(Relaxed), false);
        self.adapter.update_if_active(|| {
            is_told = true;
            told(ui, window)
        });
        if is_told {
            self.is_wanted.store(false, Relaxed);
        } else if is_wanted {
            app::add_timeout3(AGAIN_S, |_| app::awake());
        }
    }
}

/// Everything in the window.
fn told(ui: &Ui, window: &Window) -> TreeUpdate {
    let (app, parts) = (ui.app(), ui.parts());
    let mut root = node_at(Role::Window, &window.label(), (0, 0, window.w(), window.h()));
    let (mut nodes, mut children, mut focus) = (Vec::new(), Vec::new(), WINDOW);
    for (at, part) in parts.iter().enumerate() {
        let (place, before) = (Place::nth(at), nodes.len());
        part.nodes(&app, place, &mut nodes);
        if nodes.len() == before {
            continue;
        }
        children.push(place.whole());
        let wanted = part.focus(&app, place);
        focus = wanted.filter(|wanted| nodes[before..].iter().any(|(id, _)| id == wanted)).unwrap_or(focus);
    }
    root.set_children(children);
    nodes.push((WINDOW, root));
    let mut tree = TreeInfo::new(WINDOW);
    tree.toolkit_name = Some("FLTK".to_owned());
    TreeUpdate { nodes, tree: Some(tree), tree_id: TreeId::ROOT, focus }
}

fn act(ui: &Ui, request: &ActionRequest) {
    let node = request.target_node;
    let Some(at) = usize::try_from(node.0 >> Place::BITS).ok().and_then(|at| at.checked_sub(1)) else { return };
    let parts = ui.parts();
    if let Some(part) = parts.get(at) {
        let text = match &request.data {
            Some(ActionData::Value(text)) => Some(&**text),
            _ => None,
        };
        part.act(ui, Place::nth(at).line_of(node), request.action, text);
    }
}

#[derive(Clone)]
struct Listeners {
    is_wanted: Arc<AtomicBool>,
}

impl ActivationHandler for Listeners {
    fn request_initial_tree(&mut self) -> Option<TreeUpdate> {
        // The window is another thread's, which tells in its next turn.
        self.is_wanted.store(true, Relaxed);
        app::awake();
        None
    }
}

impl DeactivationHandler for Listeners {
    fn deactivate_accessibility(&mut self) {
        self.is_wanted.store(false, Relaxed);
    }
}

struct Asker(SyncSender<ActionRequest>);

impl ActionHandler for Asker {
    fn do_action(&mut self, request: ActionRequest) {
        // Whoever asks more than can be done sees that nothing happens, and asks again.
        let _ = self.0.try_send(request);
        app::awake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_lines_have_nodes_of_their_own() {
        let (first, second) = (Place::nth(0), Place::nth(1));
        let nodes = [first.whole(), first.line(0), first.line(7), second.whole(), second.line(0), second.line(7)];
        let mut distinct = nodes.map(|node| node.0).to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), nodes.len());
        assert!(!distinct.contains(&WINDOW.0));
        assert_eq!(
            nodes.map(|node| first.line_of(node)).map(|line| line.filter(|&line| line < 100))[..3],
            [None, Some(0), Some(7)]
        );
        assert_eq!((second.line_of(second.whole()), second.line_of(second.line(7))), (None, Some(7)));
    }
}
