"""The critical path by its definition, asked for each stretch of time alone. Slow; shares no code with the real one.

A child is waited for if it is the last to have ended by a deadline, where the deadlines are its parent's end and the
starts of siblings that are waited for. Between any two neighbouring times of a trace, the chain waits for the
deepest span that is waited for there, with all that it is in. Nothing walks along the time axis, and nothing is
remembered from one stretch to the next.
"""

from itertools import pairwise


class Node:
    """A span with what of it lies in its parents."""

    def __init__(self, span, parent):
        self.span, self.parent, self.children = span, parent, []
        self.low = span.start_ns if parent is None else max(span.start_ns, parent.low)
        self.high = span.end_ns if parent is None else min(span.end_ns, parent.high)


def tree_of(spans):
    """Nodes made from parent ids alone, the root first."""
    top = next(span for span in spans if span.parent_id is None)
    root = Node(top, None)
    return root, _grow(root, spans)


def _grow(node, spans):
    for span in spans:
        if span.parent_id == node.span.span_id:
            child = Node(span, node)
            node.children.append(child)
            _grow(child, spans)
    return node


def owners(spans):
    """(start, end, span id) of each stretch between two neighbouring times of the trace, in order."""
    root, _ = tree_of(spans)
    times = {time for span in spans for time in (span.start_ns, span.end_ns)}
    inside = sorted(time for time in times if root.low <= time <= root.high)
    return [(start, end, _owner(root, start, end).span.span_id) for start, end in pairwise(inside)]


def _owner(node, start, end):
    for child in node.children:
        if child.low <= start and end <= child.high and is_waited_for(child):
            return _owner(child, start, end)
    return node


def is_waited_for(child):
    """Whether its parent, as far as it is itself waited for, waits for it."""
    if child.low >= child.high:
        return False
    siblings = [each for each in child.parent.children if each.low < each.high]
    if last_ended(siblings, child.parent.high) is child:
        return True
    later = [each for each in siblings if each.low >= child.high]
    return any(last_ended(siblings, each.low) is child and is_waited_for(each) for each in later)


def last_ended(siblings, deadline):
    """Of those that ended last, the one that began first; of equals the last one in the trace."""
    ended = [each for each in siblings if each.high <= deadline]
    if not ended:
        return None
    latest = max(each.high for each in ended)
    candidates = [each for each in ended if each.high == latest]
    earliest = min(each.span.start_ns for each in candidates)
    return [each for each in candidates if each.span.start_ns == earliest][-1]


def merged(stretches):
    """Stretches with the same owner that touch, as one: what sections are."""
    sections = []
    for start, end, name in stretches:
        if sections and sections[-1][2] == name and sections[-1][1] == start:
            sections[-1][1] = end
        else:
            sections.append([start, end, name])
    return [tuple(section) for section in sections]
