import hashlib

from tests.architecture.checkout import CHECKOUT, pyproject

APACHE_2_0 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_the_licence_is_apache_2_0_word_for_word() -> None:
    text = (CHECKOUT / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == APACHE_2_0
    assert pyproject()["project"]["license"] == "Apache-2.0"
