"""How many bytes the passes of a run over its data may take, and how many of them stay in memory between passes.

What stays are the rank vectors of the library and of the factors that can be found, and labels that are in memory. Data
in memory have no budget: nothing is counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fama_fast.engine.budget import DEFAULT_BUDGET, Demand, parse_bytes, show_bytes, smallest_chunk
from fama_fast.errors import ConfigError, ExpressionError
from fama_fast.mining.measure.rank_moments import pass_bytes
from fama_fast.target.rows import LABEL_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fama_fast.engine.chunk_labels import ChunkLabels
    from fama_fast.mining.config import MiningConfig
    from fama_fast.panel.dataset import Dataset

_VECTOR_COPIES = 3  # of a member's rank vector: its own, the library's stacked one, one in use
_RANK_SHARE = 4  # at most this part of the budget is for ranks that become vectors
_BUFFERS = 8  # intermediates that a formula of the searchers may need at once
_SURVEY_BYTES = 8 * 8  # a cell of the first pass: closes read twice over, labels, presence


@dataclass(frozen=True)
class PassBudget:
    """Bytes of a pass over the dates: `total` (None: not counted), of which `held` stay in memory beside the chunks.

    `spare`: what the tightest pass leaves.
    """

    total: int | None = None
    held: int = 0
    spare: int = 0

    @classmethod
    def of(
        cls,
        part: Dataset,
        config: MiningConfig,
        library: Sequence[str],
        *,
        sampled: int,
        made: ChunkLabels,
        labels: int,
        warm: int,
    ) -> PassBudget:
        """The budget of mining data that are read in parts.

        Args:
            part: the mining rows. library: canonical texts of what the run begins with. sampled: dates of a rank
                vector. made: the labels of a chunk. labels: bytes of labels in memory. warm: rows that a label is held.

        Raises:
            ConfigError: a budget too small for one chunk and what stays; the message says the least that would do.
        """
        asked, (dates, symbols) = config.run.memory_budget, part.shape
        total = DEFAULT_BUDGET if asked is None else parse_bytes(asked)
        found = min(config.run.wanted, config.run.rounds * config.batch_size)
        ranks = 4 * sampled * symbols
        vectors = (len(library) + found) * _VECTOR_COPIES * ranks
        # The widest chunk that can come up, while the pool of as many factors as can be found is scored.
        halo = warm + max([config.gates.max_lookback, *(_lookback(text, part) for text in library)])
        fields, groups = len(part.supplied_fields), len(part.groups)
        widest = Demand(
            dates=dates,
            symbols=symbols,
            item=part.dtype.itemsize,
            fields=fields,
            groups=groups,
            rows_before=made.rows_before,
            rows_after=made.rows_after,
            kept=0,
            extra=pass_bytes(found) + made.cell_bytes - LABEL_BYTES,
        )
        chunk = widest.bytes_of(smallest_chunk(halo), [(halo, fields + groups + _BUFFERS)])
        least = chunk + 2 * ranks + vectors + labels
        if least > total:
            held = f"rank vectors of {len(library) + found} factors ({show_bytes(vectors)})"
            shuffled = f", shuffled labels ({show_bytes(labels)})" if labels else ""
            raise ConfigError(
                f"memory_budget of {show_bytes(total)} is too small: mining these data needs at least "
                f"{show_bytes(least)}: one chunk of dates with the {halo} rows before it that gates.max_lookback and "
                f"the starting library allow ({symbols:,} symbols, {fields} fields, {groups} groups: "
                f"{show_bytes(chunk)}), {held}{shuffled}"
            )
        return cls(total, vectors + labels, total - least)

    def survey_rows(self, dates: int, symbols: int, made: ChunkLabels) -> int:
        """Dates of a chunk of labels alone."""
        if self.total is None:
            return dates
        cell = _SURVEY_BYTES + made.cell_bytes - LABEL_BYTES
        around = (made.cell_bytes - LABEL_BYTES) * made.rows_before * symbols
        return max(1, min(dates, (self.total - self.held - around) // (cell * symbols)))

    def vectors_a_pass(self, cells: int) -> int | None:
        """Expressions whose rank vectors of so many cells are made in one pass; None: any number."""
        if self.total is None:
            return None
        return max(1, min(self.spare, (self.total - self.held) // _RANK_SHARE) // (8 * cells))


def _lookback(text: str, data: Dataset) -> int:
    """Of a factor of the starting library; 0 of one that these data cannot serve, which is left out later."""
    from fama_fast.engine import compile_recorded

    try:
        return compile_recorded(text, fields=data.fields, groups=data.groups).lookback
    except ExpressionError:
        return 0
