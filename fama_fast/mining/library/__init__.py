"""The library that grows: candidates, the gates that they pass, and what the search keeps of them."""
