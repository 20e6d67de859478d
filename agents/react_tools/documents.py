"""Full text search over the company's handbook, product notes, incident reports and runbooks."""

import functools
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated

from langchain_core.tools import ToolException

FOLDER = Path(__file__).parent / "data" / "docs"
MAX_QUERY = 400
MAX_TERMS = 40
MAX_RESULTS = 5

Document = tuple[str, str, str, str]  # id, title, date, text


def parse(source: str) -> list[Document]:
    """Split one file into its documents; each begins with a line `# ID | Title | date`."""
    documents = []
    for part in re.split(r"(?m)^# ", source)[1:]:
        heading, _, text = part.partition("\n")
        ident, title, date = heading.split(" | ")
        documents.append((ident, title, date, text.strip()))
    return documents


def load() -> list[Document]:
    return [doc for path in sorted(FOLDER.glob("*.md")) for doc in parse(path.read_text(encoding="utf-8"))]


@functools.cache
def index_image() -> bytes:
    """Return the index as bytes: every call opens a private copy, so no connection is shared by threads."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(
            "CREATE VIRTUAL TABLE documents USING fts5"
            "(id UNINDEXED, title, date UNINDEXED, text, tokenize = 'porter unicode61')"
        )
        db.executemany("INSERT INTO documents VALUES (?, ?, ?, ?)", load())
        db.commit()
        return db.serialize()


def search(
    query: Annotated[str, "What to look for, in a few words"],
    limit: Annotated[int, "How many documents to return, 1 to 5"] = 3,
) -> str:
    """Search the company's documents. Returns the best documents in full, best first."""
    if len(query) > MAX_QUERY:
        raise ToolException(f"the query has {len(query)} characters; at most {MAX_QUERY} are allowed")
    if not 1 <= limit <= MAX_RESULTS:
        raise ToolException(f"limit is {limit}; it must be between 1 and {MAX_RESULTS}")
    # Words only, each a quoted FTS5 string: operators and punctuation of the query have no meaning.
    words = re.findall(r"[^\W_]+", query)[:MAX_TERMS]
    if not words:
        raise ToolException("the query has no words to look for")
    match = " OR ".join(f'"{word}"' for word in words)
    with closing(sqlite3.connect(":memory:")) as db:
        db.deserialize(index_image())
        rows = db.execute(
            "SELECT id, title, date, text FROM documents WHERE documents MATCH ?"
            " ORDER BY bm25(documents, 0, 4, 0, 1), id LIMIT ?",
            (match, limit),
        ).fetchall()
    if not rows:
        return "No document matches."
    return "\n\n".join(f"[{ident}] {title} ({date})\n{text}" for ident, title, date, text in rows)
