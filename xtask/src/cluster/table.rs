//! What the cluster command shows: rows for a terminal, redrawn in place, or a line per change for a log. Pure text.

use super::node::Node;

/// The lines of the table, cut to `width` columns, so that none wraps and the cursor finds its way back.
pub(super) fn rows(nodes: &[Node], width: usize) -> Vec<String> {
    let mut rows = vec![format!(
        "{:<8} {:<21} {:<10} {:>5} {:>9} {:>9} {:>9} {:>7} {:>8}",
        "NODE", "ADDRESS", "ROLE", "TERM", "LAST", "COMMITTED", "APPLIED", "CLIENTS", "PID"
    )];
    rows.extend(nodes.iter().map(row));
    rows.iter_mut().for_each(|row| *row = row.chars().take(width).collect());
    rows
}

fn row(node: &Node) -> String {
    let head = format!("{:<8} {:<21}", node.name, node.address);
    let index = |index: Option<u64>| index.map_or_else(|| "-".into(), |index| index.to_string());
    match (&node.status, node.pid()) {
        (Some(status), Some(pid)) => format!(
            "{head} {:<10} {:>5} {:>9} {:>9} {:>9} {:>7} {:>8}",
            status.role,
            status.term,
            index(status.last_log),
            index(status.committed),
            index(status.applied),
            status.clients,
            pid
        ),
        (None, Some(pid)) => format!("{head} {:<10} {pid:>62}", "no answer"),
        (_, None) => format!("{head} down ({})", node.ended.as_deref().unwrap_or("not started")),
    }
}

/// What of a node is worth a line when it changes. Log indices move all the time and are left out.
pub(super) fn summary(node: &Node) -> String {
    match (&node.status, node.pid()) {
        (Some(status), Some(_)) => {
            let leader = status.leader.as_deref().unwrap_or("none");
            format!(
                "{} {} {} term={} leader={leader} clients={}",
                node.name, node.address, status.role, status.term, status.clients
            )
        }
        (None, Some(_)) => format!("{} {} no answer", node.name, node.address),
        (_, None) => {
            format!("{} {} down ({})", node.name, node.address, node.ended.as_deref().unwrap_or("not started"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn down() -> Node {
        let mut node = Node::new(Path::new("node"), Path::new("dir"), 2, 5556);
        node.ended = Some("signal 9".into());
        node
    }

    #[test]
    fn a_dead_node_is_shown_with_its_end() {
        assert_eq!(row(&down()), "node2    127.0.0.1:5556        down (signal 9)");
        assert_eq!(summary(&down()), "node2 127.0.0.1:5556 down (signal 9)");
    }

    #[test]
    fn no_row_is_wider_than_the_terminal() {
        for width in [0, 1, 20, 200] {
            assert!(rows(&[down()], width).iter().all(|row| row.chars().count() <= width));
        }
    }
}
