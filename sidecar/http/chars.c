/*
 * The one table of byte classes, in the order of ASCII.
 */
#include "http/chars.h"

/* clang-format off: the columns are the point */
enum {
    T = CHAR_TOKEN | CHAR_TARGET, /* a tchar; all but '#' may stand in a target */
    G = CHAR_TARGET,
    S = CHAR_TARGET | CHAR_HOST,              /* a sub-delim that is no tchar */
    A = CHAR_TOKEN | CHAR_TARGET | CHAR_HOST, /* letters and the like */
    X = A | CHAR_HEX,
    N = CHAR_TOKEN, /* '#' */
};

/* Bytes from 0x80 and below 0x21 belong to no class. */
const uint8_t char_class[256] = {
    [0x20] =
        /*   ! " # $ % & ' ( ) * + , - . / */
    0,
    A,
    G,
    N,
    A,
    A,
    A,
    A,
    S,
    S,
    A,
    A,
    S,
    A,
    A,
    G,
    /* 0 1 2 3 4 5 6 7 8 9 : ; < = > ? */
    X,
    X,
    X,
    X,
    X,
    X,
    X,
    X,
    X,
    X,
    G,
    S,
    G,
    S,
    G,
    G,
    /* @ A B C D E F G H I J K L M N O */
    G,
    X,
    X,
    X,
    X,
    X,
    X,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    /* P Q R S T U V W X Y Z [ \ ] ^ _ */
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    G,
    G,
    G,
    T,
    A,
    /* ` a b c d e f g h i j k l m n o */
    T,
    X,
    X,
    X,
    X,
    X,
    X,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    /* p q r s t u v w x y z { | } ~   */
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    A,
    G,
    T,
    G,
    A,
};
/* clang-format on */
