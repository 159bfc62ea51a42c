/* The build facts, from the header CMake writes; the only file that is compiled again when the
 * commit changes. */
#include "base/version.h"

#include "version_generated.h"

const struct build_facts build_facts = {
    .version = BUILD_VERSION,
    .revision = BUILD_REVISION,
    .compiler = BUILD_COMPILER,
    .type = BUILD_TYPE,
    .features = BUILD_FEATURES,
};
