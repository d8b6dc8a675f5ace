"""Factors on their way out: texts in other systems' languages, `factor_data` of alphalens, files of values."""

from fama_fast.exporting.brain_settings import BrainSettings
from fama_fast.exporting.exported import Exported, export
from fama_fast.exporting.translate import Translation

__all__ = ["BrainSettings", "Exported", "Translation", "export"]
