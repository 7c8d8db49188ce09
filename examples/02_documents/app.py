"""The documents pipeline: files dropped in an inbox are read, enriched, translated, summarized.

    playhead serve app.py                            work; drop *.txt files in inbox/
    playhead run app.py:documents path=inbox/a.txt   one document, here and now

The service of `service.py` is expected at ENRICHMENT_URL. DOCUMENTS_PACE shortens every wait:
1 (the default) waits as in life, 0.03 a thirtieth as long, as the demo does.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import httpx
import texts
from tenacity import retry, stop_after_attempt, wait_exponential

from playhead import CircuitBreaker, Engine, FileTrigger, Workflow, step

SERVICE = os.environ.get("ENRICHMENT_URL", "http://127.0.0.1:8723")
PACE = float(os.environ.get("DOCUMENTS_PACE", "1"))

enrichment_api = CircuitBreaker("enrichment-api", failure_threshold=3, reset_timeout=60 * PACE)


@dataclass
class Document:
    """A text and the language it is in."""

    name: str
    language: str
    text: str


@dataclass
class Entities:
    """The names in a document, and who found them."""

    names: list[str]
    found_by: str


@dataclass
class Summary:
    """What a reader wants to know of a document."""

    name: str
    words: int
    translated: bool
    begins: str
    headings: int
    keywords: list[str]
    names: list[str]
    names_by: str


@step
def ingest(path: str) -> Document:
    """Read a file; `path` names no step, so it is the workflow's input."""
    text = Path(path).read_text("utf-8", errors="replace")
    return Document(Path(path).name, texts.language_of(text), text)


@step(breaker=enrichment_api, timeout=30)
@retry(wait=wait_exponential(multiplier=PACE, max=60 * PACE), stop=stop_after_attempt(5))
def enrich(ingest: Document, client: httpx.Client) -> Entities:
    """Ask the service; the client is handed in and sends the step's idempotency key."""
    answer = client.post(f"{SERVICE}/entities", json={"text": ingest.text})
    answer.raise_for_status()
    return Entities(answer.json()["names"], "service")


@enrich.fallback
def enrich_offline(ingest: Document) -> Entities:
    """Guess, when the service has not answered five times."""
    words = (w.strip(".,:;()") for w in ingest.text.split())
    return Entities(sorted({w for w in words if w.isalpha() and w.istitle()})[:12], "fallback")


@step(when=lambda ingest: ingest.language != "en", timeout=30)
def translate(ingest: Document, client: httpx.Client) -> Document:
    """Translate what is not English; skipped for the rest."""
    answer = client.post(f"{SERVICE}/translate", json={"text": ingest.text})
    answer.raise_for_status()
    return Document(ingest.name, "en", answer.json()["text"])


@step
def outline(ingest: Document) -> list[str]:
    """List the headings. Needs nobody but `ingest`, so it runs beside `enrich`."""
    return texts.headings(ingest.text)


@step
def keywords(ingest: Document) -> list[str]:
    """List frequent words; runs beside `outline` and `enrich`."""
    return texts.frequent_words(ingest.text)


@step
def summarize(
    ingest: Document,
    enrich: Entities,
    outline: list[str],
    keywords: list[str],
    translate: Document | None = None,
) -> Summary:
    """Join the branches; a parameter with a default may have been skipped."""
    document = translate or ingest
    return Summary(
        name=document.name,
        words=len(document.text.split()),
        translated=translate is not None,
        begins=texts.first_sentence(document.text),
        headings=len(outline),
        keywords=texts.frequent_words(document.text) if translate else keywords,
        names=enrich.names,
        names_by=enrich.found_by,
    )


documents = Workflow(
    "documents", steps=[ingest, enrich, translate, outline, keywords, summarize]
)
engine = Engine(
    "sqlite:///playhead.db",
    workflows=[documents],
    triggers=[FileTrigger("inbox/*.txt", documents, settle=max(PACE, 0.05))],
)
