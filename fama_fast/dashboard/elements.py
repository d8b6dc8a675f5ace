"""Elements that the pages are built from. Text from the store goes into text nodes only: nothing here takes markup."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement

from fama_fast.number_text import DASH, number

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LIBRARY = "/dashboard/vega.js"


class Text(TextElement):
    """An element of some tag that holds text."""

    def __init__(self, tag: str, text: str, classes: str = "") -> None:
        super().__init__(tag=tag, text=text)
        if classes:
            self.classes(classes)


class Figure(Element, component="assets/figure.js"):
    """An element that shows an altair chart, with Vega served by this server.

    NiceGUI's own element for altair fetches Vega from a public server; this one takes it from this server.
    """

    def __init__(self, chart: Any) -> None:
        super().__init__()
        self.classes("figure")
        self._props["library"] = LIBRARY
        self._props["spec"] = _spec(chart)

    def show(self, chart: Any) -> None:
        """Replace the chart."""
        self._props["spec"] = _spec(chart)
        self.update()


def _spec(chart: Any) -> dict[str, Any]:
    spec: dict[str, Any] = chart.to_dict()
    # Vega measures words in a font of its own; a legend needs room for those of the page.
    spec["padding"] = {"left": 5, "top": 5, "bottom": 5, "right": 20}
    # Symbols of a legend that has no colours are black otherwise, also on black.
    legend = {"symbolBaseFillColor": "#8a8f99", "symbolBaseStrokeColor": "#8a8f99"}
    config = spec.setdefault("config", {})
    config["legend"] = {**config.get("legend", {}), **legend}
    return spec


def paragraph(text: str, classes: str = "") -> Text:
    """A paragraph of text, which runs in the direction of its own script."""
    element = Text("p", text, classes)
    element.props["dir"] = "auto"
    return element


def figure(chart: Any, caption: str) -> Figure:
    """A chart with its caption."""
    with Element("figure"):
        element = Figure(chart)
        Text("figcaption", caption)
    return element


class Tiles:
    """Named figures, which may change while the page is open."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._shown: dict[str, Text] = {}
        with Element("dl").classes("tiles"):
            for name, value in values.items():
                with Element("div"):
                    Text("dt", name)
                    self._shown[name] = Text("dd", value)

    def show(self, values: Mapping[str, str]) -> None:
        """New values under the same names."""
        for name, value in values.items():
            self._shown[name].text = value


def facts(values: Mapping[str, str]) -> None:
    """A list of names with texts of any length."""
    with Element("dl").classes("facts"):
        for name, value in values.items():
            Text("dt", name)
            Text("dd", value).props["dir"] = "auto"


def table(heads: Sequence[str], rows: Iterable[Sequence[Any]], *, label: str, formulas: Iterable[str] = ()) -> None:
    """A small table. A cell is text, a number, or (text, address) for a link; `formulas` are columns of formulas."""
    wide, listed = set(formulas), [list(row) for row in rows]
    kinds = [_kind(head, [row[i] for row in listed], wide) for i, head in enumerate(heads)]
    with Element("div").classes("scroll") as holder:
        holder.props["tabindex"] = "0"
        holder.props["role"] = "region"
        holder.props["aria-label"] = label
        with Element("table"):
            with Element("thead"), Element("tr"):
                for head, kind in zip(heads, kinds, strict=True):
                    Text("th", head, "n" if kind == "n" else "").props["scope"] = "col"
            with Element("tbody"):
                for row in listed:
                    with Element("tr"):
                        for cell, kind in zip(row, kinds, strict=True):
                            _cell(cell, kind)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(head: str, values: Sequence[Any], formulas: set[str]) -> str:
    """The class of a column's cells: formulas, numbers (to the right), or texts."""
    if head in formulas:
        return "f"
    return "n" if values and all(v is None or _is_number(v) for v in values) else ""


def _cell(value: Any, kind: str) -> None:
    if isinstance(value, tuple):
        text, address = value
        with Element("td").classes(kind):
            ui.link(text, address)
        return
    text = DASH if value is None else number(value) if _is_number(value) else str(value)
    Text("td", text, kind).props["dir"] = "ltr" if _is_number(value) else "auto"
