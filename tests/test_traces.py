import traceback

from pipeline.errors import InputError
from pipeline.traces import without_values


def test_a_trace_says_where_and_what_type_but_quotes_nothing() -> None:
    try:
        try:
            int("Doe^Jane")
        except ValueError as error:
            raise InputError("PatientName is Doe^Jane") from error
    except InputError:
        kept = without_values(f"libfoo: read Doe^Jane\n{traceback.format_exc()}\nDoe^Jane\n  1970-01-01")
    lines = kept.splitlines()
    assert "Doe" not in kept
    assert "1970" not in kept
    assert [line for line in lines if not line.startswith("  File")] == [
        "Traceback (most recent call last):",
        "ValueError",
        "The above exception was the direct cause of the following exception:",
        "Traceback (most recent call last):",
        "pipeline.errors.InputError",
    ]
    assert sum("test_traces.py" in line for line in lines) == 2


def test_the_trace_of_a_native_crash_is_kept() -> None:
    thread = "Current thread 0x00007f (most recent call first):"
    fault = f'Fatal Python error: Segmentation fault\n\n{thread}\n  File "a.py", line 3 in f'
    assert without_values(fault).splitlines() == [
        "Fatal Python error: Segmentation fault",
        "Current thread 0x00007f (most recent call first):",
        '  File "a.py", line 3 in f',
    ]
