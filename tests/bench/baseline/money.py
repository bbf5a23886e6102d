"""Amounts: whole satang inside, decimal baht outside, never a binary float."""

import re

BAHT = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,2})0*)?", re.ASCII)


def satang(baht):
    """Decimal baht as a form or a table writes it (`1500`, `1500.5`, `1500.00`) in satang. ValueError for anything else."""
    match = BAHT.fullmatch(baht)
    if match is None:
        raise ValueError("must be decimal baht, such as 1500.00")
    whole, hundredths = match.groups(default="")
    return int(whole) * 100 + int(hundredths.ljust(2, "0"))


def baht(satang):
    """Satang as decimal baht with two decimals."""
    return f"{satang // 100}.{satang % 100:02}"
