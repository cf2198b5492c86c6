//! The messages in words, for screen readers.

use std::cell::RefCell;
use std::rc::Rc;

use accesskit::{Action, Node, NodeId, Role};
use fltk::prelude::*;
use fltk::widget::Widget;

use super::super::Ui;
use super::super::spoken::{Place, Speaks, node_at, node_of};
use super::State;
use crate::app::chat::{Line, Shown, shown};
use crate::app::{App, Msg, words};

/// The lines in sight, and the one that the keyboard is at.
pub(super) struct Spoken {
    pub(super) widget: Widget,
    pub(super) state: Rc<RefCell<State>>,
}

/// A number that stays a line's own while others come and go.
fn number(line: Line) -> u64 {
    match line {
        Line::Message(number) => number << 2,
        Line::Outgoing(key) => key << 2 | 1,
        Line::Gap { after, .. } => after << 2 | 2,
        Line::KeptBack { after, .. } => after << 2 | 3,
    }
}

/// A line in words.
fn in_words(app: &App, line: Line) -> Option<String> {
    let found = shown(&app.model, app.chat.as_ref()?.id, line)?;
    let Some(said) = found.said() else {
        return Some(match found {
            Shown::KeptBack(count) => format!("{count} more unread. Enter shows the next"),
            _ => "Older messages are not here yet".to_owned(),
        });
    };
    let who = said.by.map_or_else(|| "You".to_owned(), |user| app.model.name(user));
    let how_far = match said.delivery {
        _ if found.is_refused() => ", not sent",
        Some(delivery) => &format!(", {}", words::delivery(delivery)),
        None => "",
    };
    Some(format!("{who}, {}{how_far}: {}", words::clock(said.time_ms), said.text))
}

impl Speaks for Spoken {
    fn nodes(&self, app: &App, place: Place, nodes: &mut Vec<(NodeId, Node)>) {
        if !self.widget.visible_r() {
            return;
        }
        let (state, x, y) = (self.state.borrow(), self.widget.x(), self.widget.y());
        let own = nodes.len();
        nodes.push((place.whole(), node_of(&self.widget, Role::List, "Messages")));
        let mut children = Vec::new();
        let in_sight = |top: i32, h: i32| top + h > 0 && top < self.widget.h();
        for row in state.rows.iter().filter(|row| in_sight(row.top, row.h) || state.cursor == Some(row.line)) {
            let Some(words) = in_words(app, row.line) else { continue };
            let mut node = node_at(Role::ListItem, &words, (x, y + row.top, row.w, row.h));
            if let Line::Message(number) = row.line {
                let is_chosen = app.chat.as_ref().is_some_and(|chat| chat.chosen.contains(&number));
                node.set_selected(is_chosen);
            }
            node.add_action(Action::Focus);
            node.add_action(Action::Click);
            children.push(place.line(number(row.line)));
            nodes.push((place.line(number(row.line)), node));
        }
        nodes[own].1.set_children(children);
        nodes[own].1.add_action(Action::Focus);
    }

    fn focus(&self, _: &App, place: Place) -> Option<NodeId> {
        let cursor = self.state.borrow().cursor;
        self.widget.has_focus().then(|| cursor.map_or(place.whole(), |line| place.line(number(line))))
    }

    fn act(&self, ui: &Ui, line: Option<u64>, action: Action, _: Option<&str>) {
        let found = self.state.borrow().rows.iter().map(|row| row.line).find(|&row| Some(number(row)) == line);
        match (action, found) {
            (Action::Focus, found) => {
                let _ = self.widget.clone().take_focus();
                self.state.borrow_mut().cursor = found;
                ui.post(Msg::Tick);
            }
            (Action::Click, Some(Line::KeptBack { .. })) => ui.post(Msg::Next),
            (Action::Click, Some(Line::Message(number)))
                if ui.app().chat.as_ref().is_some_and(|chat| chat.choosing) =>
            {
                ui.post(Msg::Toggle(number));
            }
            _ => {}
        }
    }
}
