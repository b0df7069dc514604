"""Two clocks: this machine's and the CA's. More than five minutes between them is an alarm (design 5)."""

from datetime import timedelta

from certd.model.words import in_words

MOST_SKEW = timedelta(minutes=5)


def trusted_skew(skew: timedelta | None) -> timedelta:
    """What to add to our time for the CA's; nothing while they agree, for `Date` has seconds and networks delays."""
    return skew if skew is not None and abs(skew) > MOST_SKEW else timedelta(0)


def skew_note(title: str, skew: timedelta) -> str:
    """What to tell a person of a skew that matters."""
    side = "behind" if skew > timedelta(0) else "ahead of"
    return (
        f"this machine's clock is {in_words(abs(skew))} {side} that of {title}: set it right (timedatectl); until then "
        "certd goes by the CA's time for renewals, but other programs here may take certificates for expired"
    )
