"""The factor store: factor values on disk, computed once, appended to daily, read back lazily.

A store is a folder:

    manifests/00000007.json                    what the store holds; the highest number counts
    values/<block>/month=2024-01/<file>.parquet   columns date, symbol and one a factor, named by its fingerprint
    checks/month=2024-01/<file>.parquet        sums over the data that the values were computed from
    writer.lock                                who writes

`update_store` writes and `open_store` reads. No file is ever changed: a writer makes new files, then a new manifest, so
that a reader finds, and a killed writer leaves, a whole store.
"""

from fama_fast.factor_store.combination import Combination, Fit
from fama_fast.factor_store.manifest import Manifest, StoredFactor
from fama_fast.factor_store.reading import FactorStore, open_store
from fama_fast.factor_store.update import Update, update_store

__all__ = ["Combination", "FactorStore", "Fit", "Manifest", "StoredFactor", "Update", "open_store", "update_store"]
