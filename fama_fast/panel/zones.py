"""The market's clock: time zones by name, and daily bars that another zone's clock has put at an odd hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from fama_fast.errors import ConfigError, DataError, nearest_name

if TYPE_CHECKING:
    from fama_fast.types import IntArray

_DAY = 86_400_000_000  # microseconds
_HOUR = 3_600_000_000


def read_zone(name: str) -> str:
    """Parse the name of a time zone, as the tz database spells it.

    Raises:
        ConfigError: there is none of this name; the message has the nearest one.
    """
    import zoneinfo

    known = {zone.casefold(): zone for zone in zoneinfo.available_timezones()}
    wanted = name.strip()
    spelled = known.get(wanted.casefold(), wanted)
    try:
        if not wanted:
            raise pl.exceptions.ComputeError("no name")
        pl.Series([0], dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(spelled)
    except pl.exceptions.PolarsError:
        # A city alone is what most people write: its last part is compared too.
        cities = {zone.rpartition("/")[2].casefold(): zone for zone in known.values() if "/" in zone}
        near = cities.get(wanted.replace(" ", "_").casefold()) or nearest_name(wanted, known.values())
        if near is None:
            city = nearest_name(wanted, cities)
            near = None if city is None else cities[city]
        hint = (
            f"; did you mean {near}?"
            if near and near != wanted
            else " (they are called like Asia/Shanghai or America/New_York)"
        )
        raise ConfigError(f"there is no time zone {name!r}{hint}") from None
    return spelled


def to_zone(moments: pl.Series, zone: str) -> pl.Series:
    """Convert stamps of UTC, without a zone, to the clock of a zone."""
    there = moments.dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    return there.dt.replace_time_zone(None)


def check_order(moments: IntArray, zone: str, source: str) -> None:
    """Refuse a clock that goes back between two stamps.

    Args:
        moments: distinct stamps of UTC, ascending, in microseconds.

    Raises:
        DataError: names the first such stamp.
    """
    local = to_zone(pl.Series(moments).cast(pl.Datetime("us")), zone).to_physical().to_numpy()
    back = np.flatnonzero(local[1:] <= local[:-1])
    if back.size:
        at = moments[back[0] + 1].astype("datetime64[us]").astype("datetime64[s]")
        raise DataError(
            f"{source}: the clock of {zone} goes back before {at} UTC, so that stamps would change their order: leave "
            "the time zone out for data that trade through that hour"
        )


def odd_hour(moments: IntArray) -> str | None:
    """The hour at which all daily bars stand, if it is not midnight: `16:00`, or `04:00 and 05:00` of a zone with
    daylight saving time; None for dates, bars within a day, a single stamp.

    Args:
        moments: (T,) the calendar in microseconds, ascending.
    """
    days, times = moments // _DAY, moments % _DAY
    hours = np.unique(times)
    if moments.size < 2 or hours.size > 2 or (hours.size == 1 and hours[0] == 0) or np.any(days[1:] == days[:-1]):
        return None
    if hours.size == 2 and hours[1] - hours[0] not in (_HOUR, 23 * _HOUR):
        return None
    return " and ".join(str(np.datetime64(int(t), "us"))[11:19].removesuffix(":00") for t in hours)


def odd_hours(moments: IntArray, dtype: Any) -> tuple[str, ...]:
    """A sentence about daily bars at an odd hour, if there are any.

    Args:
        moments: the calendar, as for `odd_hour`. dtype: of the column of dates.
    """
    hour = odd_hour(moments)
    if hour is None:
        return ()
    zone = getattr(dtype, "time_zone", None)
    clock = f" of {zone}" if zone else ""
    said = (
        f"daily bars stand at {hour}{clock}: if that is midnight of the market, they fall on the day before; "
        "--timezone with the market's (such as Asia/Shanghai) makes them dates"
    )
    return (said,)


def moved(zone: str, *, midnight: bool) -> tuple[str]:
    """A sentence about what the zone that was asked for did to stamps.

    Args:
        midnight: all stamps were dates already.
    """
    if midnight:
        return (f"all stamps stand at midnight and are dates: the time zone {zone} moves none",)
    return (f"stamps are moved to the clock of {zone}; those without a zone are taken as UTC",)
