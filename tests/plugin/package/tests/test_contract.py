from facekit.testing import ClassifierContract, DetectorContract


class TestTwice(DetectorContract):
    name = "twice"


class TestTone(ClassifierContract):
    name = "tone"
