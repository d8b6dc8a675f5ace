"""Reports for people. The run summary in text lives in `fama_fast.mining.results`; pages and figures belong here."""
