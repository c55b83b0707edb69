"""The results: one class per object of the vendor's answers, in modules named like those of `api`."""
